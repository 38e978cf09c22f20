"""What an installation depends on, so that it can be left out when nothing of that changed."""

import hashlib
import re
import tomllib
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

from pythonpack.cnb import Refusal
from pythonpack.detection import Dependencies, read_pyproject
from pythonpack.locks import Locked, read_lock

_INCLUDE = re.compile(r"(?:-r|--requirement|-c|--constraint)(?:\s+|=)\s*(\S+)")
_LOCAL = re.compile(r"(?:-e|--editable)\b|\.{1,2}(?:$|[/\[\s])|file:|.*\s@\s+file:|\S+/.*(?<!\.whl)$")


@dataclass(frozen=True)
class Declared:
    """The files that say what to install, and whether they point into the app's own tree as well."""

    files: tuple[str, ...]  # relative to the app, sorted
    local: bool
    digest: str
    locked: Locked | None = None  # what Poetry's or Pipenv's lock pins


def declared(app: Path, dependencies: Dependencies) -> Declared:
    """Read what ``dependencies`` names, includes followed. Raises Refusal on an include that is not there."""
    files: dict[str, str] = {}
    local = False
    locked = None
    if dependencies.manager == "pip":
        for name, text in _included(app, dependencies.file, files):
            files[name] = text
            local = local or any(_LOCAL.match(line) for line in _lines(text) if "://" not in line)
    elif dependencies.manager in ("uv", "pyproject"):
        for name in sorted({dependencies.file, "pyproject.toml"}):
            files[name] = (app / name).read_text(encoding="utf-8")
        local = is_package(app) or _has_local_sources(app)
    elif dependencies.manager in ("poetry", "pipenv"):
        locked = read_lock(app, dependencies.manager)
        for name in (dependencies.file, "pyproject.toml" if dependencies.manager == "poetry" else "Pipfile"):
            files[name] = (app / name).read_text(encoding="utf-8")
        local = locked.local or (dependencies.manager == "poetry" and is_package(app))
    digest = hashlib.sha256()
    for name in sorted(files):
        digest.update(f"{name}\0{files[name]}\0".encode())
    return Declared(tuple(sorted(files)), local, digest.hexdigest(), locked)


def is_package(app: Path) -> bool:
    """Whether pyproject.toml says how to build the app as a package, which is then installed itself."""
    path = app / "pyproject.toml"
    tables = read_pyproject(path) if path.is_file() else {}
    poetry = tables.get("tool", {}).get("poetry", {})
    return "build-system" in tables and poetry.get("package-mode", True) is not False


def _has_local_sources(app: Path) -> bool:
    tool = read_pyproject(app / "pyproject.toml").get("tool", {}).get("uv", {})
    sources = tool.get("sources", {}).values() if isinstance(tool, dict) else ()
    return "workspace" in tool or any(
        isinstance(source, dict) and source.keys() & {"path", "workspace"} for source in sources
    )


def _included(app: Path, name: str, seen: dict[str, str]) -> Iterator[tuple[str, str]]:
    path = (app / name).resolve()
    if not path.is_relative_to(app.resolve()):
        raise Refusal(
            f"{name} is outside the app", "requirement files can only include files of the repository"
        )
    relative = path.relative_to(app.resolve()).as_posix()
    if relative in seen:
        return
    try:
        text = path.read_text(encoding="utf-8-sig")
    except FileNotFoundError as error:
        raise Refusal(f"{relative} is included, but is not there", "commit it, or remove the line") from error
    except UnicodeDecodeError as error:
        raise Refusal(f"{relative} is not UTF-8 text", "save it as UTF-8") from error
    yield relative, text
    for line in _lines(text):
        match = _INCLUDE.match(line)
        if match and "://" not in match[1]:
            yield from _included(app, str(Path(relative).parent / match[1]), seen)


def _lines(text: str) -> Iterator[str]:
    for line in text.splitlines():
        bare = re.sub(r"(^|\s)#.*", "", line).strip()
        if bare:
            yield bare


def project_requirements(pyproject: Path) -> list[str]:
    """``project.dependencies``, for an installer that cannot read them itself."""
    found = tomllib.loads(pyproject.read_text(encoding="utf-8"))["project"].get("dependencies", [])
    return [str(requirement) for requirement in found]
