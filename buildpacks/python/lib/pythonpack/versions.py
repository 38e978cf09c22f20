"""Which Python the app asks for, and whether a given one will do."""

import re
from dataclasses import dataclass
from pathlib import Path

from pythonpack.cnb import Refusal
from pythonpack.detection import Dependencies, read_pyproject
from pythonpack.locks import read_lock

Version = tuple[int, ...]

_CLAUSE = re.compile(r"(===|==|!=|<=|>=|~=|<|>)\s*(\d+(?:\.\d+)*)(\.\*)?")
_PINNED = re.compile(r"(?:python-|cpython-)?(\d+(?:\.\d+){0,2})")
_EXAMPLE = "write one version, such as 3.11"


@dataclass(frozen=True)
class Wanted:
    """A version specifier (PEP 440, releases only) and the file that it is from."""

    specifier: str
    source: str


def wanted(app: Path, chosen: Dependencies | None = None) -> Wanted | None:
    """What the app asks for: ``.python-version``, else ``runtime.txt``, else what Poetry's or Pipenv's lock was made for,
    else ``requires-python``; None if nothing.

    Raises Refusal on a file that does not hold exactly one version.
    """
    for name in (".python-version", "runtime.txt"):
        path = app / name
        if path.is_file():
            return Wanted(_pinned(path), name)
    if chosen and chosen.manager in ("poetry", "pipenv"):
        specifier = read_lock(app, chosen.manager).python
        return Wanted(specifier, chosen.file) if specifier else None
    pyproject = app / "pyproject.toml"
    if pyproject.is_file():
        specifier = read_pyproject(pyproject).get("project", {}).get("requires-python")
        if isinstance(specifier, str):
            satisfies((3, 11), specifier)
            return Wanted(specifier, "requires-python in pyproject.toml")
    return None


def satisfies(version: Version, specifier: str) -> bool:
    """Whether a release is within a specifier such as ``>=3.10,<3.13``. Raises Refusal on one that is malformed."""
    return all(_clause(version, clause.strip()) for clause in specifier.split(",") if clause.strip())


def _pinned(path: Path) -> str:
    try:
        text = path.read_text(encoding="utf-8")
    except UnicodeDecodeError as error:
        raise Refusal(f"{path.name} is not UTF-8 text", _EXAMPLE) from error
    if text.startswith("\ufeff"):
        raise Refusal(f"{path.name} begins with a byte order mark", "save it as UTF-8 without BOM")
    lines = [line.strip() for line in text.splitlines() if line.strip() and not line.strip().startswith("#")]
    if len(lines) != 1:
        raise Refusal(f"{path.name} holds {len(lines) or 'no'} versions", _EXAMPLE)
    match = _PINNED.fullmatch(lines[0])
    if not match:
        raise Refusal(f"{path.name} says {lines[0][:60]!r}, which is no Python version", _EXAMPLE)
    return f"=={match[1]}" if match[1].count(".") == 2 else f"=={match[1]}.*"


def _clause(version: Version, clause: str) -> bool:
    match = _CLAUSE.fullmatch(clause)
    if not match:
        raise Refusal(f"{clause[:60]!r} is no version specifier", "write it as in PEP 440: >=3.10,<3.13")
    operator, number, wildcard = match.groups()
    bound = tuple(int(part) for part in number.split("."))
    if wildcard:
        if operator not in ("==", "!="):
            raise Refusal(f"{clause[:60]!r} is no version specifier: .* goes with == and != only")
        return (version[: len(bound)] == bound) is (operator == "==")
    length = max(len(version), len(bound))
    left = version + (0,) * (length - len(version))
    right = bound + (0,) * (length - len(bound))
    if operator == "~=":
        return left >= right and version[: len(bound) - 1] == bound[:-1]
    return {
        "==": left == right,
        "===": left == right,
        "!=": left != right,
        "<=": left <= right,
        ">=": left >= right,
        "<": left < right,
        ">": left > right,
    }[operator]
