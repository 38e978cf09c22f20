"""The shape of ``buildpack.toml`` (Buildpack API 0.12, "buildpack.toml"; ``stacks`` of older ones). Pure."""

from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from typing import Any, Literal

Kind = Literal["string", "boolean", "strings", "anything"]
Shape = "Mapping[str, Kind | Shape | list[Shape]]"  # a list stands for an array of tables of its one shape

_STRING, _BOOLEAN, _STRINGS, _ANYTHING = "string", "boolean", "strings", "anything"
_ORDER = [
    {"group": [{"id": _STRING, "version": _STRING, "optional": _BOOLEAN, "exec-env": _STRINGS}]},
]
_BUILDPACK_TOML: Mapping[str, Any] = {
    "api": _ANYTHING,  # whatever it is, there is more to say of it than its type
    "buildpack": {
        "id": _STRING,
        "version": _STRING,
        "name": _STRING,
        "homepage": _STRING,
        "description": _STRING,
        "keywords": _STRINGS,
        "licenses": [{"type": _STRING, "uri": _STRING}],
        "clear-env": _BOOLEAN,
        "sbom-formats": _STRINGS,
        "exec-env": [{"name": _STRING}],
    },
    "targets": [
        {
            "os": _STRING,
            "arch": _STRING,
            "variant": _STRING,
            "distros": [{"name": _STRING, "version": _STRING}],
        }
    ],
    "stacks": [{"id": _STRING, "mixins": _STRINGS}],
    "order": _ORDER,
    "metadata": {
        "gitreceive": {
            "detects": _ANYTHING,
            "inputs": _ANYTHING,
            "hints": [{"match": _ANYTHING, "hint": _ANYTHING}],
        }
    },
}
_OPEN = {"metadata"}  # tables in which a buildpack may have keys of its own
_WORDS = {
    _STRING: "a string",
    _BOOLEAN: "true or false",
    _STRINGS: "an array of strings",
}


@dataclass(frozen=True)
class Misfit:
    """``key`` is its last part, ``table`` the path of the table that it is in, with dots; empty at the top.

    ``wanted`` says in words what its value must be; it is empty where the table has no such key.
    """

    table: str
    key: str
    wanted: str
    known: tuple[str, ...] = ()  # the keys that the table has

    def __str__(self) -> str:
        path = f"{self.table}.{self.key}" if self.table else self.key
        return f"{path} must be {self.wanted}" if self.wanted else f"{path} is not known"


def misfits(document: Mapping[str, Any]) -> Iterator[Misfit]:
    """Every key of a ``buildpack.toml`` that is not known, and every value that is of the wrong type."""
    yield from _table(document, _BUILDPACK_TOML, "")


def _table(table: Mapping[str, Any], shape: Mapping[str, Any], path: str) -> Iterator[Misfit]:
    for key, value in table.items():
        if key in shape:
            yield from _value(value, shape[key], path, key)
        elif path not in _OPEN:
            yield Misfit(path, key, "", tuple(shape))


def _value(value: Any, shape: Any, path: str, key: str) -> Iterator[Misfit]:
    inner = f"{path}.{key}" if path else key
    if isinstance(shape, str):
        if not _is(value, shape):
            yield Misfit(path, key, _WORDS[shape])
    elif isinstance(shape, list):
        if not isinstance(value, list) or not all(isinstance(entry, Mapping) for entry in value):
            yield Misfit(path, key, f"an array of tables: [[{inner}]]")
            return
        for entry in value:
            yield from _table(entry, shape[0], inner)
    elif not isinstance(value, Mapping):
        yield Misfit(path, key, f"a table: [{inner}]")
    else:
        yield from _table(value, shape, inner)


def _is(value: Any, kind: str) -> bool:
    if kind == _STRINGS:
        return isinstance(value, list) and all(isinstance(item, str) for item in value)
    return {_STRING: isinstance(value, str), _BOOLEAN: isinstance(value, bool)}.get(kind, True)
