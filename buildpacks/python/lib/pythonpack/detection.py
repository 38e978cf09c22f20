"""Is this a Python app, and who installs what it depends on?"""

import difflib
import tomllib
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from pythonpack.cnb import Refusal, Verdict

# Node.js may build a front end before this buildpack collects static files
_ASSETS = "node-assets"
LOCKS = ("requirements.txt", "uv.lock", "poetry.lock", "Pipfile.lock", "pdm.lock")
STARTS = ("manage.py", "main.py", "app.py", "server.py")

_MANAGERS = {"requirements.txt": "pip", "uv.lock": "uv", "poetry.lock": "poetry", "Pipfile.lock": "pipenv"}
# what a lock was made from, and is no lock without
_SOURCES = {"uv.lock": "pyproject.toml", "poetry.lock": "pyproject.toml", "Pipfile.lock": "Pipfile"}
# other tools' files: what they are, and how their user gets to something that is understood
_OTHERS = {
    "pdm.lock": ("PDM", "run `pdm export -o requirements.txt` and remove pdm.lock"),
    "environment.yml": ("Conda", "list the packages in requirements.txt"),
    "setup.py": (
        "setuptools",
        "add a requirements.txt; one with the single line `.` installs the app itself",
    ),
}


@dataclass(frozen=True)
class Dependencies:
    """Where the app says what it needs. ``file`` is empty when it needs nothing."""

    file: str
    manager: str  # pip, uv, poetry, pipenv, pyproject or none


def decide(app: Path) -> Verdict:
    """Pass on any file that only a Python app has, also those that the build then refuses with a remedy."""
    names = {path.name for path in app.iterdir()}
    found = [name for name in (*LOCKS, "Pipfile", *_OTHERS) if name in names]
    if (
        "pyproject.toml" in names
        and (not found or {"uv.lock", "poetry.lock"} & set(found))
        and _is_app(app / "pyproject.toml")
    ):
        found.append("pyproject.toml")
    if not found:
        misspelt = difflib.get_close_matches("requirements.txt", sorted(names), n=1, cutoff=0.85)
        if misspelt:
            return Verdict(False, f"no requirements.txt, but {misspelt[0]}: is it misspelt?")
        found = [name for name in (*STARTS, ".python-version", "runtime.txt") if name in names]
    if not found:
        return Verdict(False, f"no requirements.txt, uv.lock, pyproject.toml, {', '.join(STARTS)}")
    return Verdict(True, ", ".join(dict.fromkeys(found)), requires=_ASSETS)


def dependencies(app: Path) -> Dependencies:
    """Choose the one file to install from. Raises Refusal where there are several, or none that is understood."""
    _refuse_committed_venv(app)
    locks = [name for name in LOCKS if (app / name).is_file()]
    if len(locks) > 1:
        raise Refusal(
            f"the dependencies are declared more than once: {' and '.join(locks)}",
            f"keep the one that you maintain and remove the other: git rm {locks[-1]}",
        )
    if locks and locks[0] in _MANAGERS:
        source = _SOURCES.get(locks[0])
        if source and not (app / source).is_file():
            raise Refusal(
                f"{locks[0]} is there, but no {source}", f"commit the {source} that it was made from"
            )
        return Dependencies(locks[0], _MANAGERS[locks[0]])
    if (app / "Pipfile").is_file():
        raise Refusal("there is a Pipfile, but no Pipfile.lock", "run `pipenv lock` and commit Pipfile.lock")
    for name in (*locks, *_OTHERS):
        if (app / name).is_file() and not _has_project(app):
            tool, remedy = _OTHERS[name]
            raise Refusal(f"{name} is {tool}'s, which is not supported yet", remedy)
    return Dependencies("pyproject.toml", "pyproject") if _has_project(app) else Dependencies("", "none")


def read_pyproject(path: Path) -> dict[str, Any]:
    """The parsed file. Raises Refusal with the line when it is not TOML."""
    try:
        return tomllib.loads(path.read_text(encoding="utf-8"))
    except (tomllib.TOMLDecodeError, UnicodeDecodeError) as error:
        raise Refusal(f"pyproject.toml cannot be read: {error}", "it must be TOML in UTF-8") from error


def _is_app(pyproject: Path) -> bool:
    try:
        tables = read_pyproject(pyproject)
    except Refusal:
        return True  # the build then says what is wrong with it
    return "project" in tables or "build-system" in tables or "poetry" in tables.get("tool", {})


def _has_project(app: Path) -> bool:
    path = app / "pyproject.toml"
    if not path.is_file():
        return False
    tables = read_pyproject(path)
    if "project" not in tables and "poetry" in tables.get("tool", {}):
        raise Refusal(
            "pyproject.toml is Poetry's, but there is no poetry.lock",
            "run `poetry lock` and commit poetry.lock",
        )
    return "project" in tables


def _refuse_committed_venv(app: Path) -> None:
    for marker in sorted(app.glob("*/pyvenv.cfg")):
        folder = marker.parent.name
        raise Refusal(
            f"{folder}/ is a virtual environment and is committed; it belongs to the machine that made it",
            f"git rm -r --cached {folder} && echo {folder}/ >> .gitignore",
        )
