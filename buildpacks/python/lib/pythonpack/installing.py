"""Install what the app depends on into a virtual environment that is a layer."""

import shutil
from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from pythonpack import bytecode
from pythonpack.cnb import Context, Layer, Refusal, run, say
from pythonpack.detection import Dependencies
from pythonpack.hints import explain
from pythonpack.index import index_key, locked_index_env, other_index_than
from pythonpack.installers import without_index
from pythonpack.requirements import Declared, declared, is_package, project_requirements
from pythonpack.runtime import Python


@dataclass(frozen=True)
class Installation:
    """The virtual environment, and the files whose bytes it follows from."""

    layer: Layer
    declared: Declared

    def has(self, program: str) -> bool:
        return (self.layer.path / "bin" / program).is_file()


@dataclass(frozen=True)
class Tools:
    """What installs. ``uv`` is its path, or None for pip."""

    python: Python
    uv: str | None
    env: Mapping[str, str] = field(repr=False)


def install(context: Context, dependencies: Dependencies, tools: Tools) -> Installation:
    """Make the layer ``dependencies`` hold what is declared, nothing less and nothing more.

    It is left alone where nothing that it follows from changed, and brought up to date where only the declaration did.
    Raises Refusal with what the installer said and a hint.
    """
    what = declared(context.app, dependencies)
    context.layer("cache").path.mkdir(parents=True, exist_ok=True)
    context.layer("cache").save("cache")
    layer = context.layer("dependencies")
    now = {
        "python": tools.python.version,
        "manager": dependencies.manager,
        "installer": "uv" if tools.uv else "pip",
        "index": index_key(tools.env),
        "digest": what.digest,
    }
    before = layer.metadata()
    if before == now and not what.local and dependencies.manager != "none":
        say(f"Using the packages of the last build ({', '.join(what.files)} and Python are unchanged)")
    else:
        reason = _why_anew(before, now, tools.uv)
        _bring_up_to_date(context, dependencies, what, tools, reason)
        _compile(layer, context.app, tools.env)
    layer.set_env({"VIRTUAL_ENV.override": str(layer.path), "PYTHONUNBUFFERED.default": "1"})
    layer.save("launch", "build", "cache", metadata=now)
    return Installation(layer, what)


def _bring_up_to_date(
    context: Context, dependencies: Dependencies, what: Declared, tools: Tools, anew: str | None
) -> None:
    layer = context.layer("dependencies")
    layer.toml.unlink(missing_ok=True)  # from here on it holds neither the old packages nor yet the new
    env = _install_env(context, layer, tools.env)
    if anew is not None:
        if anew:
            say(f"Installing everything anew: {anew}")
        layer.reset()
        _make_venv(layer.path, tools, context.app, env)
    if dependencies.manager == "none":
        say("No dependencies are declared (no requirements.txt, uv.lock or pyproject.toml)")
        return
    say(f"Installing {dependencies.file} with {'uv' if tools.uv else 'pip'}")
    if what.locked:
        env = locked_index_env(env, what.locked.indexes)
        _listed(context).write_text(
            "".join(f"{line}\n" for line in what.locked.requirements), encoding="utf-8"
        )
    for command in _commands(context, dependencies, tools):
        status, lines = run(command, cwd=context.app, env=env, quiet=_is_noise)
        if status:
            raise Refusal(f"{dependencies.file} could not be installed", explain(lines, tools.python.version))


def _why_anew(before: Mapping[str, Any], now: Mapping[str, Any], uv: str | None) -> str | None:
    """The reason in words, empty for the first build; None where what is installed can be brought up to date."""
    if not before:
        return ""
    words = {
        "python": "Python was {} and is {}",
        "manager": "the dependencies were declared for {} and now for {}",
        "installer": "the installer was {} and is {}",
        "index": "the package index was set to {!r} and is {!r}",
    }
    for key, text in words.items():
        if before.get(key) != now[key]:
            return text.format(before.get(key), now[key])
    # pip has no command that also removes what is no longer declared
    return None if uv or before["digest"] == now["digest"] else "the declared packages changed"


def _make_venv(path: Path, tools: Tools, app: Path, env: Mapping[str, str]) -> None:
    command = (
        [
            tools.uv,
            "venv",
            "--quiet",
            "--allow-existing",
            "--no-project",
            "--python",
            str(tools.python.executable),
            str(path),
        ]
        if tools.uv
        else [str(tools.python.executable), "-m", "venv", str(path)]
    )
    status, _ = run(command, cwd=app, env=env)
    if status:
        raise Refusal(
            "the virtual environment could not be made", "the build image needs python3-venv, or uv"
        )


def _commands(context: Context, dependencies: Dependencies, tools: Tools) -> list[list[str]]:
    package = is_package(context.app)
    if dependencies.manager == "uv":
        return _locked_commands(context, tools, package=package)
    install = _install_command(context, tools)
    if dependencies.manager == "pip":
        return [[*install, "-r", dependencies.file]]
    if dependencies.manager in ("poetry", "pipenv"):
        itself = [arg for arg in install if arg != "--exact"]
        app = [[*itself, "--no-deps", "-e", "."]] if package and dependencies.manager == "poetry" else []
        return [[*install, "--no-deps", "-r", str(_listed(context))], *app]
    if package:
        return [[*install, "-e", "."]]
    if tools.uv:
        return [[*install, "-r", "pyproject.toml"]]
    return [[*install, *(project_requirements(context.app / "pyproject.toml") or ["pip"])]]


def _install_command(context: Context, tools: Tools) -> list[str]:
    if tools.uv:
        return [tools.uv, "pip", "install", "--exact", *(["--no-index"] if without_index(tools.env) else [])]
    return [str(context.layer("dependencies").path / "bin" / "python"), "-m", "pip", "install"]


def _locked_commands(context: Context, tools: Tools, *, package: bool) -> list[list[str]]:
    uv = tools.uv
    if not uv:
        raise Refusal("uv.lock needs uv, which this stack's build image does not have", "tell the operator")
    if not other_index_than(context.app / "uv.lock", tools.env):
        skip = [] if package else ["--no-install-project"]
        return [[uv, "sync", "--locked", "--no-default-groups", "--no-python-downloads", *skip]]
    # A lock names the index that it was made with, and uv takes it for outdated where another one is set. Versions and
    # hashes hold on a mirror as well.
    say("uv.lock was made with another index: its versions and hashes are installed from the one that is set")
    listed = str(_listed(context))
    export = [uv, "export", "--quiet", "--frozen", "--no-default-groups", "--no-emit-local", "-o", listed]
    install = [*_install_command(context, tools), "--verify-hashes", "-r", listed]
    return [export, install, *([[uv, "pip", "install", "--no-deps", "-e", "."]] if package else [])]


def _listed(context: Context) -> Path:
    """Where a lock is written down as requirements."""
    return context.layer("cache").path / "locked.txt"


def _install_env(context: Context, layer: Layer, env: Mapping[str, str]) -> dict[str, str]:
    cache = context.layer("cache").path
    return {
        **env,
        "VIRTUAL_ENV": str(layer.path),
        "PATH": f"{layer.path / 'bin'}:{env.get('PATH', '/usr/bin:/bin')}",
        "UV_PROJECT_ENVIRONMENT": str(layer.path),
        "UV_CACHE_DIR": str(cache / "uv"),
        "UV_LINK_MODE": "hardlink",  # both lie on the app's own volume; uv copies where they do not
        "PIP_CACHE_DIR": str(cache / "pip"),
        "PIP_NO_COMPILE": "1",
    }


def _is_noise(line: str) -> bool:
    return not line or line.startswith(
        ("Using Python", "Using CPython", "warning: Failed to hardlink", "         ")
    )


def _compile(layer: Layer, app: Path, env: Mapping[str, str]) -> None:
    program = Path(bytecode.__file__)
    status, _ = run(
        [str(layer.path / "bin" / "python"), "-I", str(program), str(layer.path / "lib")], cwd=app, env=env
    )
    if status:
        raise Refusal("the installed packages could not be compiled to bytecode", "see the lines above")


def find_uv(env: Mapping[str, str]) -> str | None:
    """The path of uv, or None, which is said."""
    uv = shutil.which("uv", path=env.get("PATH"))
    if not uv:
        say("uv is not in this build image; using pip, which is slower")
    return uv
