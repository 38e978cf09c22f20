"""What can be told to be wrong with a buildpack's folder without running it. Pure but for reading the folder."""

import difflib
import os
import re
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from gitreceive.buildpacks.inputs import matches
from gitreceive.lifecycle import toml
from gitreceive.lifecycle.folder import DESCRIPTION, Buildpack, FolderError, read_buildpack

ERROR, WARNING = "error", "warning"
PROGRAMS = ("bin/detect", "bin/build")

_AT_LINE = re.compile(r"\(at line (\d+), column (\d+)\)")
_VERSION = re.compile(r"(0|[1-9]\d*)\.(0|[1-9]\d*)\.(0|[1-9]\d*)", re.ASCII)
# the tables of buildpack.toml and their keys (Buildpack API 0.12, "buildpack.toml"); metadata is the buildpack's own
_KEYS: Mapping[str, tuple[str, ...]] = {
    "": ("api", "buildpack", "targets", "stacks", "order", "metadata"),
    "buildpack": (
        *("id", "version", "name", "homepage", "description", "keywords", "licenses"),
        *("clear-env", "sbom-formats", "exec-env"),
    ),
    "metadata.gitreceive": ("detects", "inputs", "hints"),
}
# `[ -f NAME ]` and its kind in a shell script, NAME being a plain path inside the app
_LOOKS_FOR = re.compile(
    r"(?:\[\[?|\btest|&&|\|\|)\s+(?:!\s+)?-[defrsx]\s+([\"']?)([A-Za-z0-9_.][\w./-]*)\1(?=[\s\];)]|$)"
)
_SHEBANG, _ELF = b"#!", b"\x7fELF"
_READ = 256 << 10


@dataclass(frozen=True)
class Finding:
    """``level`` is ``error`` (it cannot work) or ``warning``; ``line`` is 0 where none can be named."""

    level: str
    file: str
    line: int
    message: str

    def __str__(self) -> str:
        place = f"{self.file}:{self.line}" if self.line else self.file
        return f"{place}: {self.level}: {self.message}"


def lint(folder: Path) -> tuple[Finding, ...]:
    """Everything that is found, errors first."""
    found = sorted(_findings(folder), key=lambda one: one.level != ERROR)
    return tuple(found)


def _findings(folder: Path) -> Iterator[Finding]:
    try:
        document = toml.read(folder / DESCRIPTION)
    except toml.UnreadableError as error:
        at = _AT_LINE.search(str(error))
        yield Finding(ERROR, DESCRIPTION, int(at[1]) if at else 0, f"it cannot be read: {error}")
        return
    text = (folder / DESCRIPTION).read_text(encoding="utf-8")
    yield from _unknown_keys(document, text)
    yield from _links(folder)
    if not (isinstance(document.get("order"), list) and document["order"]):
        yield from _programs(folder)
    try:
        buildpack = read_buildpack(folder / DESCRIPTION)
    except FolderError as error:
        message = str(error).removeprefix(f"{folder / DESCRIPTION}: ")
        if not message.startswith(f"{folder} has no "):  # which is said above
            yield Finding(ERROR, DESCRIPTION, 0, message)
        return
    yield from _description(buildpack, document, text)
    if not buildpack.order:
        yield from _undeclared(folder, buildpack)


def _unknown_keys(document: Mapping[str, Any], text: str) -> Iterator[Finding]:
    for name, known in _KEYS.items():
        table: Any = document
        for part in filter(None, name.split(".")):
            table = table.get(part, {}) if isinstance(table, Mapping) else {}
        for key in table if isinstance(table, Mapping) else ():
            if key not in known:
                near = difflib.get_close_matches(key, known, n=1)
                meant = f"; is {near[0]!r} meant?" if near else ""
                where = f"[{name}]" if name else "the top"
                yield Finding(
                    WARNING,
                    DESCRIPTION,
                    _line(text, key),
                    f"{key!r} is no key of {where}, so it does nothing{meant}",
                )


def _links(folder: Path) -> Iterator[Finding]:
    """Only what lies inside the folder comes into a build."""
    top = folder.resolve()
    for current, folders, files in os.walk(folder):
        for name in (*folders, *files):
            path = Path(current, name)
            if path.is_symlink() and not path.resolve().is_relative_to(top):
                yield Finding(
                    ERROR,
                    path.relative_to(folder).as_posix(),
                    0,
                    f"the link leads out of the buildpack, to {path.readlink()}",
                )


def _programs(folder: Path) -> Iterator[Finding]:
    for name in PROGRAMS:
        path = folder / name
        if not path.is_file():
            yield Finding(
                ERROR, name, 0, "there is no such program: a buildpack has bin/detect and bin/build"
            )
            continue
        if not path.stat().st_mode & 0o100:
            yield Finding(ERROR, name, 0, f"it is not executable: chmod +x {name}")
        first = _beginning(path).partition(b"\n")[0]
        if first.startswith(_SHEBANG) and first.endswith(b"\r"):
            yield Finding(
                ERROR,
                name,
                1,
                "its lines end with CR LF, so its interpreter is not found: save it with LF alone",
            )
        elif not first.startswith((_SHEBANG, _ELF)):
            yield Finding(ERROR, name, 1, "it says no interpreter: begin it with such as #!/usr/bin/env bash")


def _description(buildpack: Buildpack, document: Mapping[str, Any], text: str) -> Iterator[Finding]:
    head = document["buildpack"]
    if not _VERSION.fullmatch(buildpack.version):
        yield Finding(
            ERROR,
            DESCRIPTION,
            _line(text, "version"),
            f"version {buildpack.version!r} is not of the form X.Y.Z",
        )
    if not head.get("name"):
        yield Finding(WARNING, DESCRIPTION, 0, "[buildpack] has no name for people")
    targets = document.get("targets", [])
    systems = (
        {entry.get("os") for entry in targets if isinstance(entry, Mapping)}
        if isinstance(targets, list)
        else set()
    )
    if systems and not systems & {"linux", None}:
        yield Finding(
            WARNING, DESCRIPTION, _line(text, "os"), "no [[targets]] is for linux, and builds happen on Linux"
        )
    if buildpack.order:
        return
    if not buildpack.detects:
        yield Finding(
            WARNING,
            DESCRIPTION,
            0,
            "metadata.gitreceive.detects is missing: misspellings of what it looks for get no hint",
        )
    if buildpack.inputs is None:
        yield Finding(
            WARNING,
            DESCRIPTION,
            0,
            "metadata.gitreceive.inputs is missing: every push builds, even where nothing has changed",
        )


def _undeclared(folder: Path, buildpack: Buildpack) -> Iterator[Finding]:
    """Files that a shell program looks for and that ``detects`` or ``inputs`` does not name."""
    declared = {"bin/detect": ("detects", buildpack.detects), "bin/build": ("inputs", buildpack.inputs)}
    for program, (key, globs) in declared.items():
        if not globs or "**" in globs or not (folder / program).is_file():
            continue
        watched = matches(globs)
        for number, name in _looked_for(_beginning(folder / program)):
            if not watched(name):
                yield Finding(
                    WARNING,
                    program,
                    number,
                    f"it looks for {name}, which metadata.gitreceive.{key} does not name",
                )


def _looked_for(content: bytes) -> Iterator[tuple[int, str]]:
    if not content.startswith(_SHEBANG) or b"sh" not in content.partition(b"\n")[0]:
        return
    seen: set[str] = set()
    for number, line in enumerate(content.decode("utf-8", "replace").splitlines(), 1):
        if line.lstrip().startswith("#"):
            continue
        for _, name in _LOOKS_FOR.findall(line):
            plain = name.removeprefix("./").rstrip("/")
            if plain not in seen:
                seen.add(plain)
                yield number, plain


def _beginning(path: Path) -> bytes:
    with path.open("rb") as file:
        return file.read(_READ)


def _line(text: str, key: str) -> int:
    """The line where the key is given a value; 0 where that cannot be told."""
    wanted = re.compile(rf"\s*\[*\s*(?:[\w.-]+\.)?[\"']?{re.escape(key)}[\"']?\s*[=\].]")
    return next((at for at, line in enumerate(text.splitlines(), 1) if wanted.match(line)), 0)
