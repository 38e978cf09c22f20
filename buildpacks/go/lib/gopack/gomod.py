"""go.mod, as far as choosing a Go needs it (Go Modules Reference, "go.mod files")."""

import re
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path

from gopack.cnb import Refusal

Version = tuple[int, ...]

_LANGUAGE = re.compile(r"(\d+)\.(\d+)(?:\.(\d+))?(?:(?:rc|beta|alpha)\d+)?")
_LINE = re.compile(r"(module|go|toolchain)\s+(\S+)")


@dataclass(frozen=True)
class Wanted:
    """The oldest Go that will do, as written and as numbers, and the line that says so. Nothing written is no minimum."""

    text: str
    version: Version
    origin: str


@dataclass(frozen=True)
class Module:
    """The module at the app's root. ``name`` is what Go would call a program there."""

    name: str
    wanted: Wanted


def read_module(app: Path) -> Module:
    """go.mod, and what its lines ``toolchain`` and ``go`` ask for: the higher counts, and go.work's count as well.

    Raises Refusal on a file without a module line, or with a version that is none.
    """
    values = _values(app / "go.mod")
    if "module" not in values:
        raise Refusal("go.mod has no module line", "run `go mod init example.com/shop`, and commit go.mod")
    asked = _asked(app / "go.mod", values)
    if (app / "go.work").is_file():
        asked += _asked(app / "go.work", _values(app / "go.work"))
    wanted = max(asked, key=lambda one: one.version, default=Wanted("", (), "no go line in go.mod"))
    path = re.sub(r"/v\d+$", "", values["module"].strip('"`'))  # a major version is no part of the name
    return Module(path.rpartition("/")[2], wanted)


def _asked(path: Path, values: Mapping[str, str]) -> list[Wanted]:
    asked = []
    for key in ("toolchain", "go"):
        text = values.get(key, "default")
        if text != "default":
            number = text.removeprefix("go").partition("-")[0] if key == "toolchain" else text
            asked.append(Wanted(number, _numbers(path, key, number), f"{key} {text} in {path.name}"))
    return asked


def _values(path: Path) -> dict[str, str]:
    try:
        lines = path.read_text(encoding="utf-8").splitlines()
    except UnicodeDecodeError as error:
        raise Refusal(f"{path.name} is not UTF-8 text (byte {error.start})", "save it as UTF-8") from error
    matches = (_LINE.fullmatch(line.partition("//")[0].strip()) for line in lines)
    return {match[1]: match[2] for match in matches if match}


def _numbers(path: Path, key: str, text: str) -> Version:
    match = _LANGUAGE.fullmatch(text)
    if not match:
        raise Refusal(
            f"{path.name}: {key} says {text[:40]!r}, which is no Go version", "write it as: go 1.24"
        )
    return tuple(int(part) for part in match.groups() if part)
