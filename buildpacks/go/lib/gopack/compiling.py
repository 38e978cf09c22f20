"""Find the app's programs and compile them."""

import re
import shutil
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path, PurePosixPath

from gopack.cnb import Context, Refusal, run, say
from gopack.toolchain import Toolchain

_PROGRAM, _EMBEDS = "program\t", "embeds\t"
# {{.Target}} is where `go install` would put a program, and so says how Go names it
_FORMAT = (
    '{{if not .Standard}}{{if and (eq .Name "main") (not .DepOnly)}}'
    f"{_PROGRAM}{{{{.ImportPath}}}}\t{{{{.Dir}}}}\t{{{{.Target}}}}\n{{{{end}}}}"
    f"{{{{$dir := .Dir}}}}{{{{range .EmbedPatterns}}}}{_EMBEDS}{{{{$dir}}}}\t{{{{.}}}}\n{{{{end}}}}{{{{end}}}}"
)


@dataclass(frozen=True)
class Program:
    """A main package: its import path, its folder relative to the app, and the name of what it compiles to."""

    package: str
    folder: PurePosixPath
    name: str


@dataclass(frozen=True)
class Source:
    """The programs to compile. ``embedded`` are globs, relative to the app, of the files that are no Go and go into them."""

    programs: tuple[Program, ...]
    embedded: tuple[str, ...]


def compiler_env(context: Context, toolchain: Toolchain) -> dict[str, str]:
    """The environment for Go. GOFLAGS, GOPROXY and the like are as the operator set them; the caches are a layer."""
    env = dict(context.env)
    cache = context.layer("cache")
    cache.path.mkdir(parents=True, exist_ok=True)
    cache.save("cache")
    netrc = context.secret("netrc")
    if netrc:
        env["NETRC"] = str(netrc)
    env.setdefault("CGO_ENABLED", "0")
    env.setdefault("GOMODCACHE", str(cache.path / "modules"))
    ours = ["-trimpath", "-buildvcs=false", "-modcacherw", "-ldflags=-s"]
    if _is_vendored(context.app):
        ours.append("-mod=vendor")
    env.update(
        PATH=f"{toolchain.root / 'bin'}:{env.get('PATH', '/usr/bin:/bin')}",
        GOROOT=str(toolchain.root),
        GOPATH=str(cache.path / "path"),
        GOCACHE=str(cache.path / "compiled"),
        GOBIN=str(context.layer("programs").path / "bin"),
        GOTOOLCHAIN="local",  # go.mod's wish has been met already
        GOENV="off",
        GOFLAGS=f"{' '.join(ours)} {env.get('GOFLAGS', '')}".strip(),  # of two settings the later counts
    )
    return env


def find_source(context: Context, toolchain: Toolchain, env: Mapping[str, str]) -> Source:
    """The main packages at the root and below ``cmd/``; where there are none, all. Raises Refusal where there is none at all."""
    command = [str(toolchain.go), "list", "-e", "-deps", "-f", _FORMAT, "./..."]
    printed: list[str] = []

    def keep(line: str) -> bool:
        ours = line.startswith((_PROGRAM, _EMBEDS))
        if ours:
            printed.append(line)
        return ours or not line

    status, _ = run(command, cwd=context.app, env=env, quiet=keep)
    if status:
        raise Refusal("the app's packages could not be listed")
    found = [_program(context.app, line) for line in printed if line.startswith(_PROGRAM)]
    usual = [p for p in found if p.folder == PurePosixPath() or p.folder.parts[0] == "cmd"]
    if not found:
        raise Refusal(
            "there is no main package: nothing to start", "a program is `package main` with a func main"
        )
    embedded = (_embedded(context.app, line) for line in printed if line.startswith(_EMBEDS))
    return Source(tuple(usual or found), tuple(dict.fromkeys(glob for glob in embedded if glob)))


def compile_programs(context: Context, toolchain: Toolchain, source: Source, env: Mapping[str, str]) -> None:
    """Leave the programs in ``bin`` of the layer ``programs``. Raises Refusal after what Go said."""
    layer = context.layer("programs")
    layer.reset()
    folder = layer.path / "bin"
    folder.mkdir()
    names = ", ".join(program.name for program in source.programs)
    say(f"Compiling {names}{' with the modules in vendor/' if _is_vendored(context.app) else ''}")
    packages = [program.package for program in source.programs]
    status, lines = run([str(toolchain.go), "build", "-o", f"{folder}/", *packages], cwd=context.app, env=env)
    if status:
        raise Refusal(f"the app could not be compiled: {_first_error(lines)}")
    layer.save("launch")


def _first_error(lines: Sequence[str]) -> str:
    """Go's first line that names a place in a file, else its first that is no heading."""
    said = [line for line in lines if line and not line.startswith("#")]
    return next(
        (line for line in said if re.match(r"\S+\.go:\d+", line)), said[0] if said else "no reason was given"
    )


def drop_modules_of_another_build(context: Context) -> None:
    """Downloaded modules are of no use to an app that has come to carry its own."""
    modules = context.layer("cache").path / "modules"
    if _is_vendored(context.app) and modules.is_dir():
        say("Dropping the downloaded modules: vendor/ is committed")
        shutil.rmtree(modules)


def _is_vendored(app: Path) -> bool:
    """Whether go.mod's modules are committed. A workspace has a vendor/ of its own, which Go sees to."""
    return (app / "vendor" / "modules.txt").is_file() and not (app / "go.work").is_file()


def _program(app: Path, line: str) -> Program:
    _, package, folder, target = line.split("\t")
    return Program(package, PurePosixPath(_inside(app, folder) or ""), Path(target).name)


def _embedded(app: Path, line: str) -> str:
    """Go's pattern as a glob of inputs; empty for a package outside of the app, which go.sum pins."""
    _, folder, pattern = line.split("\t")
    inside = _inside(app, folder)
    if inside is None:
        return ""
    pattern = pattern.removeprefix("all:")
    if pattern == "." or set("[\\") & set(f"{inside}{pattern}"):  # the two languages differ there
        return "**"
    return (PurePosixPath(inside) / pattern).as_posix()


def _inside(app: Path, folder: str) -> str | None:
    place, root = Path(folder).resolve(), app.resolve()
    return place.relative_to(root).as_posix() if place.is_relative_to(root) else None
