"""Build a Go app: Go, programs, start commands."""

import re
from collections.abc import Mapping
from pathlib import Path

from gopack.cnb import Context, Process, Refusal, say
from gopack.compiling import (
    Program,
    Source,
    compile_programs,
    compiler_env,
    drop_modules_of_another_build,
    find_source,
)
from gopack.gomod import Module, read_module
from gopack.toolchain import provide_toolchain

# what Go compiles, and what chooses the processes; a file that is embedded may be any other
_COMPILED = (
    "**/*.go",
    "**/*.s",
    "**/*.syso",
    "**/default.pgo",
    "**/go.mod",
    "**/go.sum",
    "go.work",
    "go.work.sum",
    "vendor/**",
    "Procfile",
)
_SERVERS = ("server", "api")
_BESIDE = ("worker", "clock", "scheduler")


def make(context: Context) -> None:
    """The whole build. Raises Refusal."""
    module = read_module(context.app)
    toolchain = provide_toolchain(context, module.wanted)
    drop_modules_of_another_build(context)
    env = compiler_env(context, toolchain)
    source = find_source(context, toolchain, env)
    compile_programs(context, toolchain, source, env)
    processes = _processes(context.app, module, source)
    if "web" in processes:
        _warn_of_port(context.app)
    _announce(processes, source)
    context.write_launch(
        [Process(kind, (program.name,), default=kind == "web") for kind, program in processes.items()]
    )
    context.write_inputs(["**"] if _uses_c(env) else (*_COMPILED, *source.embedded))


def _processes(app: Path, module: Module, source: Source) -> dict[str, Program]:
    """A program by process type. A Procfile has the word: beside it there is ``web`` at most."""
    procfile = app / "Procfile"
    there = procfile.is_file()
    if there and re.search(rb"^web\s*:", procfile.read_bytes(), re.MULTILINE):
        return {}
    web = find_web(module, source.programs)
    if web is None and not there:
        names = ", ".join(program.name for program in source.programs)
        raise Refusal(
            f"there are several programs, and nothing says which serves: {names}",
            f"name its folder cmd/web, or add a Procfile with a line such as: web: {source.programs[0].name}",
        )
    processes = {"web": web} if web else {}
    if there:
        return processes
    beside = {program.name: program for program in source.programs if program is not web}
    return {**processes, **{name: beside[name] for name in _BESIDE if name in beside}}


def find_web(module: Module, programs: tuple[Program, ...]) -> Program | None:
    """The program at the root, else ``web``, else the one that is called as the module, else one with a server's usual name,
    else the only one.
    """
    root = next((program for program in programs if not program.folder.parts), None)
    named = {program.name: program for program in programs}
    usual = next((named[name] for name in ("web", module.name, *_SERVERS) if name in named), None)
    return root or usual or (programs[0] if len(programs) == 1 else None)


def _announce(processes: Mapping[str, Program], source: Source) -> None:
    for kind, program in processes.items():
        say(f"Process {kind}: {program.name} (package {program.package})")
    others = [p.name for p in source.programs if p not in processes.values()]
    if others:
        say(f"On PATH as well: {', '.join(others)}; a Procfile makes processes of them")


def _warn_of_port(app: Path) -> None:
    sources = (path for path in app.rglob("*.go") if path.is_file() and not path.name.endswith("_test.go"))
    if not any(re.search(rb"\bPORT\b", path.read_bytes()) for path in sources):
        say("warning: no Go file names PORT: web has to listen on the port that this variable holds")


def _uses_c(env: Mapping[str, str]) -> bool:
    return env.get("CGO_ENABLED") != "0"
