"""JSON whose every value knows where it stands. The standard library's parser reads the same texts and forgets the places."""

import json
import re
from bisect import bisect_right
from collections.abc import Mapping
from dataclasses import dataclass, field

DEEPEST = 50  # values within each other
_BLANK = re.compile(r"[ \t\n\r]*")  # RFC 8259, section 2
_NUMBER = re.compile(r"-?(?:0|[1-9][0-9]*)(?:\.[0-9]+)?(?:[eE][+-]?[0-9]+)?", re.ASCII)
_WORDS: Mapping[str, bool | None] = {"true": True, "false": False, "null": None}
_PLAIN_KEY = re.compile(r"[A-Za-z_$][A-Za-z0-9_$-]*", re.ASCII)
_LONGEST_NUMBER = 30
_STRINGS = json.JSONDecoder()  # their escapes are its business


@dataclass(frozen=True, order=True)
class Place:
    """Both from 1; columns are characters."""

    line: int
    column: int

    def __str__(self) -> str:
        return f"line {self.line}, column {self.column}"


Value = str | int | float | bool | None


@dataclass(frozen=True)
class Node:
    """A value of the text: ``value`` where it is a scalar, ``members`` of an object, ``items`` of an array. ``path`` names it from the top:
    ``healthchecks.web[0].path``; it is empty at the top.
    """

    path: str
    place: Place
    value: Value = None
    members: Mapping[str, "Node"] | None = None
    items: "tuple[Node, ...] | None" = None
    keys: Mapping[str, Place] = field(default_factory=dict)  # where the members' names stand

    @property
    def kind(self) -> str:
        """For people: an object, a text, …."""
        if self.members is not None:
            return "an object"
        if self.items is not None:
            return "a list"
        if isinstance(self.value, bool) or self.value is None:
            return json.dumps(self.value)
        return "a text" if isinstance(self.value, str) else "a number"


class MalformedError(Exception):
    """It is no JSON: what is wrong, at which place, at which path."""

    def __init__(self, what: str, place: Place, path: str = "") -> None:
        super().__init__(what)
        self.what, self.place, self.path = what, place, path


def parse(text: str) -> Node:
    """The one value of ``text`` (RFC 8259, of which names may not be repeated within an object). Raises MalformedError."""
    reader = _Reader(text)
    node = reader.value("", 0)
    reader.skip()
    if reader.at < len(text):
        raise reader.error("something follows the end")
    return node


class _Reader:
    def __init__(self, text: str) -> None:
        self.text = text
        self.at = 0
        self._starts = [0, *(match.end() for match in re.finditer(r"\n", text))]

    def value(self, path: str, depth: int) -> Node:
        self.skip()
        place, first = self.place(), self.text[self.at : self.at + 1]
        if depth > DEEPEST:
            raise self.error("values are nested too deeply", path)
        match first:
            case "{":
                return self._object(path, place, depth)
            case "[":
                return self._array(path, place, depth)
            case '"':
                return Node(path, place, self._string(path))
        return Node(path, place, self._scalar(path))

    def skip(self) -> None:
        match = _BLANK.match(self.text, self.at)
        self.at = match.end() if match else self.at

    def place(self, at: int | None = None) -> Place:
        position = self.at if at is None else at
        line = bisect_right(self._starts, position)
        return Place(line, position - self._starts[line - 1] + 1)

    def error(self, what: str, path: str = "", at: int | None = None) -> MalformedError:
        return MalformedError(what, self.place(at), path)

    def _object(self, path: str, place: Place, depth: int) -> Node:
        members: dict[str, Node] = {}
        keys: dict[str, Place] = {}
        self.at += 1
        while not self._closes("}", "a member", path, first=not members):
            self.skip()
            key_place = self.place()
            if self.text[self.at : self.at + 1] != '"':
                raise self.error(f"the name of a member was expected, in quotes, not {self._seen()}", path)
            key = self._string(path)
            inner = _joined(path, key)
            if key in members:
                raise MalformedError("is there twice", key_place, inner)
            self.skip()
            if self.text[self.at : self.at + 1] != ":":
                raise self.error(f"':' was expected, not {self._seen()}", inner)
            self.at += 1
            keys[key] = key_place
            members[key] = self.value(inner, depth + 1)
        return Node(path, place, members=members, keys=keys)

    def _array(self, path: str, place: Place, depth: int) -> Node:
        items: list[Node] = []
        self.at += 1
        while not self._closes("]", "a value", path, first=not items):
            items.append(self.value(f"{path}[{len(items)}]", depth + 1))
        return Node(path, place, items=tuple(items))

    def _closes(self, end: str, what: str, path: str, *, first: bool) -> bool:
        """Past ``end``; else past the comma before another, where it is not the first."""
        self.skip()
        seen = self.text[self.at : self.at + 1]
        if seen == end:
            self.at += 1
            return True
        if first:
            return False
        if seen != ",":
            raise self.error(f"',' or {end!r} was expected, not {self._seen()}", path)
        comma = self.at
        self.at += 1
        self.skip()
        if self.text[self.at : self.at + 1] == end:
            raise self.error(f"a comma stands behind the last one: {what} was expected", path, comma)
        return False

    def _string(self, path: str) -> str:
        begin = self.at
        try:
            found, self.at = _STRINGS.raw_decode(self.text, begin)
        except json.JSONDecodeError as error:
            at = begin if "Unterminated" in error.msg else error.pos
            raise self.error(_string_fault(error.msg), path, at) from error
        text = str(found)
        if any("\ud800" <= character <= "\udfff" for character in text):
            raise self.error("half a surrogate pair is no character", path, begin)
        return text

    def _scalar(self, path: str) -> Value:
        for word, value in _WORDS.items():
            if self.text.startswith(word, self.at):
                self.at += len(word)
                return value
        match = _NUMBER.match(self.text, self.at)
        if match is None:
            raise self.error(f"a value was expected, not {self._seen()}", path)
        if len(match[0]) > _LONGEST_NUMBER:
            raise self.error("the number is too long", path)
        self.at = match.end()
        return float(match[0]) if set(match[0]) & set(".eE") else int(match[0])

    def _seen(self) -> str:
        rest = self.text[self.at : self.at + 2]
        if not rest:
            return "the end of the file"
        if rest in {"//", "/*"} or rest[0] == "#":
            return "a comment: JSON has none"
        return repr(rest[0])


def _joined(path: str, key: str) -> str:
    shown = key if _PLAIN_KEY.fullmatch(key) else json.dumps(key[:60], ensure_ascii=not key.isprintable())
    return f"{path}.{shown}" if path else shown


def _string_fault(message: str) -> str:
    if "Unterminated" in message:
        return "the text has no closing quote"
    if "control character" in message:
        return "a text goes over a line's end, or holds a control character: write \\n"
    return 'the text holds a "\\" that begins nothing: write "\\\\"'
