"""The Debian packages that a source asks for: an ``Aptfile``, and a table in ``project.toml``."""

import re
import tomllib
from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field
from typing import Any

from gitreceive.errors import SourceError

APTFILE = "Aptfile"
PROJECT_FILE = "project.toml"
MOST_PACKAGES = 100

_TABLE = "com.gitreceive.system"
# Debian policy 5.6.7; apt reads a hyphen at the end as: remove the package
_NAME = re.compile(r"[a-z0-9][a-z0-9+.-]*[a-z0-9+.]", re.ASCII)
_NO_LIBRARY = re.compile(r"(lib[\w.+-]+\.so[\w.]*): cannot open shared object file")  # ld.so's own words
_VERSION = re.compile(r"[0-9][A-Za-z0-9.+:~-]*", re.ASCII)  # Debian policy 5.6.12


@dataclass(frozen=True, order=True)
class SystemPackage:
    """A package by name, in this version or in any. ``where`` says who asked for it and is no part of what it is."""

    name: str
    version: str = ""
    where: str = field(default="", compare=False)

    def __str__(self) -> str:
        """As apt takes it: NAME or NAME=VERSION."""
        return f"{self.name}={self.version}" if self.version else self.name


def of_aptfile(content: bytes) -> tuple[SystemPackage, ...]:
    """One package a line, as Heroku's apt buildpack has it; ``#`` begins a comment. Sorted, each once.

    Raises SourceError, naming the line, for all that is not the name of a package: options, repositories, addresses of files.
    """
    try:
        lines = content.decode("utf-8").splitlines()
    except UnicodeDecodeError as error:
        raise SourceError(f"{APTFILE} is not UTF-8: {error.reason} at byte {error.start}") from error
    named = []
    for number, line in enumerate(lines, 1):
        text = re.split(r"(?:^|\s)#", line, maxsplit=1)[0].strip()
        if text:
            named.append(parse(text, f"{APTFILE} line {number}"))
    return together(named)


def of_project_file(content: bytes) -> tuple[SystemPackage, ...]:
    """``of_project`` of the file's text. Raises SourceError."""
    try:
        return of_project(tomllib.loads(content.decode("utf-8")))
    except (UnicodeDecodeError, tomllib.TOMLDecodeError) as error:
        raise SourceError(
            f"{PROJECT_FILE} cannot be read: {error}", hint="it must be TOML in UTF-8"
        ) from error


def of_project(document: Mapping[str, Any]) -> tuple[SystemPackage, ...]:
    """What the table ``[com.gitreceive.system]`` of a project.toml lists as ``packages``; none where there is no such table.

    Raises SourceError.
    """
    table: Any = document
    for key in _TABLE.split("."):
        table = table.get(key, {}) if isinstance(table, Mapping) else None
    place = f"{PROJECT_FILE} [{_TABLE}]"
    if not isinstance(table, Mapping):
        raise SourceError(f"{place} is not a table", hint='write packages = ["libpq5"] below it')
    if unknown := sorted(set(table) - {"packages"}):
        raise SourceError(f"{place}: unknown key {unknown[0]!r}", hint="known keys: packages")
    packages = table.get("packages", [])
    if not isinstance(packages, list) or not all(isinstance(name, str) for name in packages):
        raise SourceError(f"{place}: packages is not a list of strings", hint='such as packages = ["libpq5"]')
    return together(parse(name, f"{place}: packages") for name in packages)


def of_names(names: Iterable[str]) -> tuple[SystemPackage, ...]:
    """The set that an app was built with, by NAME or NAME=VERSION. Raises SourceError."""
    return together(parse(name, "the app's system packages") for name in names)


def hint_of_crash(output: bytes) -> str:
    """What to do where a process ended for want of a system library, by its last lines; empty where they name none."""
    missing = _NO_LIBRARY.search(output.decode("utf-8", "replace"))
    if not missing:
        return ""
    return f"{missing[1]} is a system library that the image lacks: write its Debian package into an {APTFILE}, or install it in the Dockerfile"


def parse(text: str, where: str) -> SystemPackage:
    """NAME or NAME=VERSION. Raises SourceError that begins with ``where``."""
    name, equals, version = text.partition("=")
    if not _NAME.fullmatch(name) or (equals and not _VERSION.fullmatch(version)):
        raise SourceError(f"{where}: {text[:80]!r} is not a Debian package", hint=_hint(text))
    return SystemPackage(name, version, where)


def together(packages: Iterable[SystemPackage]) -> tuple[SystemPackage, ...]:
    """The set of packages: sorted, each once. Raises SourceError for one in two versions, and for more than MOST_PACKAGES."""
    found: dict[str, SystemPackage] = {}
    for package in packages:
        first = found.setdefault(package.name, package)
        if first != package:
            raise SourceError(
                f"{package.where}: {package} is asked for as {first} before ({first.where})",
                hint="keep one of them",
            )
    if len(found) > MOST_PACKAGES:
        raise SourceError(
            f"the source asks for {len(found)} system packages; at most {MOST_PACKAGES} are installed",
            hint="what they depend on comes by itself: name only what the app uses, or add them to the stack",
        )
    return tuple(sorted(found.values()))


def _hint(text: str) -> str:
    if "://" in text or text.endswith(".deb") or "/" in text:
        return "packages come from the stack's own indexes only: write a package's name"
    if text.startswith(":repo:"):
        return "further repositories are not taken: ask the operator for a stack that has the package"
    if text.startswith("-") or " -" in text:
        return "options are not taken: write a package's name"
    if " " in text or "\t" in text:
        return "write one package a line"
    if ":" in text.partition("=")[0]:
        return "only packages of the stack's own architecture are installed: leave out what follows the colon"
    return "write NAME or NAME=VERSION; names have lower-case letters, digits, '+', '-' and '.'"
