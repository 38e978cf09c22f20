"""What Gemfile, Gemfile.lock and .ruby-version say: the Ruby that is wanted, and the gems."""

import re
from dataclasses import dataclass
from pathlib import Path

from rubypack.cnb import Refusal

_DIRECTIVE = re.compile(r"^\s*ruby[\s(]+((?:[\"'][^\"']+[\"'][\s,]*)+)\)?\s*(?:#.*)?$", re.MULTILINE)
_FROM_FILE = re.compile(r"^\s*ruby[\s(]+file:\s*[\"']([^\"']+)[\"']", re.MULTILINE)
_SPEC = re.compile(r"^ {4}([A-Za-z0-9._-]+) \(([^)]+)\)$", re.MULTILINE)
_ONE = re.compile(r"\s*(=|!=|>=|<=|~>|>|<)?\s*(\d+(?:\.\d+)*)\s*")


@dataclass(frozen=True)
class Manifest:
    """``requirement`` is what RubyGems calls one (``~> 3.1``, comma-separated), empty where any Ruby will do."""

    gemfile: bool = False
    locked: bool = False
    requirement: str = ""
    source: str = ""
    gems: frozenset[str] = frozenset()
    local: bool = False  # gems that are folders of the app

    def has(self, *names: str) -> bool:
        return any(name in self.gems for name in names)


def read_manifest(app: Path) -> Manifest:
    """Raises Refusal for a lock without Gemfile, a lock with conflicts, and a version that is not understood."""
    gemfile, lock = _read(app / "Gemfile"), _read(app / "Gemfile.lock")
    there = (app / "Gemfile").is_file()
    if lock and not there:
        raise Refusal("Gemfile.lock is there, but no Gemfile", "commit the Gemfile that it was made from")
    if re.search(r"^(?:<{7}|>{7}) ", lock, re.MULTILINE):
        raise Refusal(
            "Gemfile.lock has conflict markers of a merge", "run `bundle lock` and commit Gemfile.lock"
        )
    requirement, source = _ruby(app, gemfile)
    return Manifest(
        gemfile=there,
        locked=bool(lock),
        requirement=requirement,
        source=source,
        gems=frozenset(name for name, _ in _SPEC.findall(lock)),
        local=bool(re.search(r"^(?:PATH|GIT)$", lock, re.MULTILINE)),
    )


def satisfies(version: str, requirement: str) -> bool:
    """RubyGems' rules for plain versions. Raises ValueError for a requirement that is not understood."""
    return all(_holds(version, part) for part in requirement.split(",")) if requirement else True


def _ruby(app: Path, gemfile: str) -> tuple[str, str]:
    directive, from_file = _DIRECTIVE.search(gemfile), _FROM_FILE.search(gemfile)
    if directive:
        return ",".join(re.findall(r"[\"']([^\"']+)[\"']", directive[1])), "Gemfile"
    name = from_file[1] if from_file else ".ruby-version"
    path = app / name
    if not path.is_file() or not path.resolve().is_relative_to(app.resolve()):
        return "", ""
    text = path.read_text(encoding="utf-8", errors="replace").strip()
    match = re.fullmatch(r"(?:ruby-)?(\d+)(?:\.(\d+))?(?:\.\d+)?(?:-p\d+)?", text)
    if not match:
        raise Refusal(
            f"{name} holds {text[:60]!r}",
            "write a version such as 3.1.7; other Rubies than CRuby are not offered",
        )
    # version managers want the patch level there, and an archive has one: the newest, with its security fixes
    return (f"~> {match[1]}.{match[2]}.0" if match[2] else f"~> {match[1]}.0"), name


def _holds(version: str, part: str) -> bool:
    match = _ONE.fullmatch(part)
    if not match:
        raise ValueError(f"{part.strip()[:60]!r} is not understood")
    operator, have, given = match[1] or "=", _numbers(version), _numbers(match[2])
    if operator == "~>":
        keep = max(len(match[2].split(".")) - 1, 1)
        return have >= given and have[:keep] == given[:keep]
    return {
        "=": have == given,
        "!=": have != given,
        ">=": have >= given,
        "<=": have <= given,
        ">": have > given,
        "<": have < given,
    }[operator]


def _numbers(version: str) -> tuple[int, ...]:
    parts = [int(part) for part in version.split(".")]
    return (*parts, *[0] * (4 - len(parts)))


def _read(path: Path) -> str:
    try:
        return path.read_text(encoding="utf-8") if path.is_file() else ""
    except UnicodeDecodeError as error:
        raise Refusal(f"{path.name} cannot be read: {error}", "it must be in UTF-8") from error
