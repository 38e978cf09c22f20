"""The interpreter: the stack's own where it will do, else one that uv brings from the operator's mirror."""

import sys
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path

from pythonpack.cnb import Context, Refusal, run, say
from pythonpack.detection import Dependencies
from pythonpack.versions import Wanted, satisfies, wanted


@dataclass(frozen=True)
class Python:
    """An interpreter, with its whole version (``3.11.2``)."""

    executable: Path
    version: str
    managed: bool


def choose_python(context: Context, chosen: Dependencies, uv: str | None, env: Mapping[str, str]) -> Python:
    """The interpreter that meets the app's wish. Raises Refusal, saying what the stack offers, where none does."""
    wish = wanted(context.app, chosen)
    stack = sys.version_info[:3]  # this program is run by the stack's Python
    version = ".".join(map(str, stack))
    if wish is None or satisfies(stack, wish.specifier):
        origin = f"from {wish.source}" if wish else "the stack's; .python-version chooses another"
        say(f"Using Python {version} ({origin})")
        return Python(Path("/usr/bin/python3"), version, managed=False)
    if uv and context.env.get("UV_PYTHON_INSTALL_MIRROR"):
        return _managed(context, uv, env, wish)
    asked = wish.specifier.removeprefix("==").removesuffix(".*")
    raise Refusal(
        f"{wish.source} asks for Python {asked}, and this stack has {version}",
        f"ask for {stack[0]}.{stack[1]}, or have the operator set UV_PYTHON_INSTALL_MIRROR in the build's environment",
    )


def _managed(context: Context, uv: str, env: Mapping[str, str], wish: Wanted) -> Python:
    layer = context.layer("runtime")
    known = layer.metadata()
    interpreter = layer.path / "python" / "bin" / "python3"
    if known.get("specifier") == wish.specifier and interpreter.exists():
        say(f"Using Python {known['version']} (from {wish.source}, kept from the last build)")
    else:
        layer.reset()
        say(f"Installing Python {wish.specifier} (from {wish.source}) from the operator's mirror")
        interpreter = _install_managed(layer.path, context.app, uv, env, wish)
        _, lines = run(
            [str(interpreter), "-c", "import platform; print(platform.python_version())"],
            cwd=context.app,
            env=env,
            quiet=lambda _: True,
        )
        known = {"specifier": wish.specifier, "version": lines[-1]}
        say(f"Using Python {known['version']}")
    layer.save("launch", "build", "cache", metadata=known)
    return Python(interpreter, str(known["version"]), managed=True)


def _install_managed(folder: Path, app: Path, uv: str, env: Mapping[str, str], wish: Wanted) -> Path:
    status, _ = run(
        [uv, "python", "install", "--no-bin", "--install-dir", str(folder / "versions"), wish.specifier],
        cwd=app,
        env={**env, "UV_PYTHON_DOWNLOADS": "manual"},
    )
    found = sorted((folder / "versions").glob("cpython-*/bin/python3"))
    if status or not found:
        raise Refusal(
            f"Python {wish.specifier} could not be installed from the operator's mirror",
            "see uv's words above; `uv python list --all-versions` names what there is",
        )
    (folder / "python").symlink_to(found[-1].parents[1].relative_to(folder))
    return folder / "python" / "bin" / "python3"
