"""What a node of app.json may be, asked for by the sections. Each answer that is no refuses with line, column and key."""

import difflib
from collections.abc import Collection, Mapping

from gitreceive.appjson.located import Node, Place
from gitreceive.errors import SourceError

FILE = "app.json"
_LONGEST_TEXT = 10_000


def refused(place: Place, path: str, what: str, hint: str = "") -> SourceError:
    """The error for what stands there."""
    at = f"{path[:120]}: " if path else ""
    return SourceError(f"{FILE}, {place}: {at}{what}", hint=hint)


def wrong(node: Node, what: str, hint: str = "") -> SourceError:
    return refused(node.place, node.path, what, hint)


def members(
    node: Node, known: Collection[str] = (), ignored: Collection[str] = (), most: int = 200
) -> Mapping[str, Node]:
    """Of an object. Where names are ``known``, others are refused but for the ``ignored``."""
    if node.members is None:
        raise wrong(node, f"is {node.kind}, and has to be an object", "write {…}")
    if len(node.members) > most:
        raise wrong(node, f"has {len(node.members)} members; at most {most} are read")
    for key, inner in node.members.items():
        if known and key not in known and key not in ignored:
            near = difflib.get_close_matches(key, known, n=1)
            hint = f"did you mean {near[0]}?" if near else f"known keys: {', '.join(sorted(known))}"
            raise refused(node.keys[key], inner.path, "is not known", hint)
    return node.members


def items(node: Node, most: int = 200) -> tuple[Node, ...]:
    if node.items is None:
        raise wrong(node, f"is {node.kind}, and has to be a list", "write […]")
    if len(node.items) > most:
        raise wrong(node, f"has {len(node.items)} entries; at most {most} are read")
    return node.items


def text(node: Node, longest: int = _LONGEST_TEXT, *, empty: bool = True) -> str:
    """One that can be an argument of a process: without NUL. Its value is in no error."""
    if not isinstance(node.value, str):
        raise wrong(node, f"is {node.kind}, and has to be a text", 'write it in quotes: "…"')
    if "\0" in node.value:
        raise wrong(node, "holds a NUL")
    if len(node.value) > longest:
        raise wrong(node, f"is longer than {longest} characters")
    if not empty and not node.value.strip():
        raise wrong(node, "is empty")
    return node.value


def line(node: Node, longest: int = 1000, *, empty: bool = False) -> str:
    """A text that can be printed, all in one line."""
    found = text(node, longest, empty=empty)
    if not found.isprintable():
        raise wrong(node, "has more than one line, or characters that cannot be printed")
    return found


def one_of(node: Node, allowed: Collection[str]) -> str:
    found = text(node)
    if found not in allowed:
        raise wrong(node, f"{found[:40]!r} is not known", f"write one of: {', '.join(allowed)}")
    return found


def integer(node: Node, least: int, most: int) -> int:
    found = node.value
    if isinstance(found, bool) or not isinstance(found, int):
        raise wrong(node, f"is {node.kind}, and has to be a whole number", "write it without quotes: 3")
    if not least <= found <= most:
        raise wrong(node, f"{found} is not between {least} and {most}")
    return found


def boolean(node: Node) -> bool:
    if not isinstance(node.value, bool):
        raise wrong(node, f"is {node.kind}, and has to be true or false", "write it without quotes")
    return node.value
