"""What ``bin/release`` of a classic buildpack prints: the small part of YAML 1.2 that such programs write.

The standard library reads no YAML. Taken are a mapping of block mappings or block sequences of scalars, ``{}``, ``[]``, plain and
quoted scalars, comments and document marks. All else is refused by its line, never guessed at.
"""

import json
import re
from collections.abc import Mapping
from dataclasses import dataclass, field

_LINE = re.compile(
    r"""(?P<indent>\ *)(?:(?P<item>-)(?:\ +|$)
        |(?P<key>"[^"]*"|'[^']*'|[A-Za-z0-9_][A-Za-z0-9_./-]*)\ *:(?:\ +|$))
        (?P<value>.*)""",
    re.VERBOSE,
)
_QUOTED = re.compile(r"""(?P<text>"(?:[^"\\]|\\.)*"|'(?:[^']|'')*')\s*(?:\s\#.*)?""")
_NAME = re.compile(r"[A-Za-z_][A-Za-z0-9_]*")
_NOT_PLAIN = tuple("&*!%@`|>{}[],?\"'")

Section = dict[str, str] | list[str]


class ReleaseError(Exception):
    """Text that is not such YAML; the message names the line."""


@dataclass(frozen=True)
class Release:
    """``processes`` are commands for a shell, by type; ``config_vars`` are values that config may replace."""

    processes: Mapping[str, str] = field(default_factory=dict)
    config_vars: Mapping[str, str] = field(default_factory=dict)
    addons: tuple[str, ...] = ()


def parse_release(text: str) -> Release:
    """Keys that are not known are passed over. Raises ReleaseError."""
    document = _document(text)
    config_vars = _mapping(document, "config_vars")
    for name in config_vars:
        if not _NAME.fullmatch(name):
            raise ReleaseError(f"config_vars: {name!r} cannot be a variable's name")
    processes = _mapping(document, "default_process_types")
    for name, command in processes.items():
        if not command:
            raise ReleaseError(f"default_process_types: {name} has no command")
    addons = document.get("addons", [])
    return Release(processes, config_vars, tuple(addons))


def _mapping(document: Mapping[str, Section], name: str) -> dict[str, str]:
    section = document.get(name, {})
    if isinstance(section, dict):
        return section
    if section:
        raise ReleaseError(f"{name} must be a mapping")
    return {}


def _document(text: str) -> dict[str, Section]:
    reader = _Reader()
    for number, line in enumerate(text.splitlines(), 1):
        bare = line.rstrip()
        if bare.lstrip() == "" or bare.lstrip().startswith("#") or bare in {"---", "..."}:
            continue
        try:
            reader.take(bare)
        except ReleaseError as error:
            raise ReleaseError(f"line {number}, {bare.strip()!r}: {error}") from error
    return reader.document


class _Reader:
    """Builds the document line by line; only the section under way is open."""

    def __init__(self) -> None:
        self.document: dict[str, Section] = {}
        self._open = ""  # the section's key, where more of it may come
        self._indent = -1  # of the open section's entries, -1: none has come

    def take(self, line: str) -> None:
        match = _LINE.fullmatch(line)
        if match is None:
            raise ReleaseError("it is neither 'key: value' nor '- value'")
        indent, value = len(match["indent"]), match["value"].strip()
        if match["item"]:
            self._item(indent, value)
        elif indent == 0:
            self._section(_key(match["key"]), value)
        else:
            self._entry(indent, _key(match["key"]), value)

    def _section(self, key: str, value: str) -> None:
        if key in self.document:
            raise ReleaseError(f"{key} comes twice")
        self._open, self._indent = "", -1
        bare = _without_comment(value)
        if bare == "[]":
            self.document[key] = []
        elif bare in {"{}", "~", "null"}:
            self.document[key] = {}
        elif bare == "":
            self.document[key] = {}
            self._open = key
        else:
            raise ReleaseError("a mapping or a list has to follow on lines of its own")

    def _entry(self, indent: int, key: str, value: str) -> None:
        section = self._current(indent, dict)
        assert isinstance(section, dict)
        if key in section:
            raise ReleaseError(f"{key} comes twice")
        section[key] = _scalar(value)

    def _item(self, indent: int, value: str) -> None:
        if self._open and self._indent < 0:
            self.document[self._open] = []
        section = self._current(indent, list)
        assert isinstance(section, list)
        section.append(_scalar(value))

    def _current(self, indent: int, kind: type) -> Section:
        section = self.document.get(self._open, {})
        if not self._open or not isinstance(section, kind):
            raise ReleaseError("it does not belong to what stands above it")
        if self._indent not in {-1, indent}:
            raise ReleaseError("it is indented otherwise than the lines above it")
        self._indent = indent
        return section


def _key(text: str) -> str:
    return text[1:-1] if text[0] in "\"'" else text


def _scalar(text: str) -> str:
    if text[:1] in {'"', "'"}:
        match = _QUOTED.fullmatch(text)
        if match is None:
            raise ReleaseError("its quotes do not fit")
        return _unquote(match["text"])
    bare = _without_comment(text)
    if bare.startswith(_NOT_PLAIN) or ": " in bare or bare.endswith(":"):
        raise ReleaseError("this kind of value is not read here: put it in quotes")
    return "" if bare in {"~", "null"} else bare


def _unquote(text: str) -> str:
    if text[0] == "'":
        return text[1:-1].replace("''", "'")
    try:
        # JSON's escapes are a subset of YAML's
        value = json.loads(text, strict=False)
    except ValueError as error:
        raise ReleaseError(f"its escapes are not read here: {error}") from error
    return str(value)


def _without_comment(text: str) -> str:
    return "" if text.startswith("#") else re.split(r"\s#", text, maxsplit=1)[0].rstrip()
