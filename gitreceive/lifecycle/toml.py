"""TOML 1.0: writing it, which the standard library cannot, and reading files that nobody vouches for."""

import datetime as dt
import json
import os
import re
import stat
import tomllib
from collections.abc import Mapping
from pathlib import Path
from typing import Any

LARGEST = 1 << 20  # bytes; what people and buildpacks write is a thousandth of it

_BARE_KEY = re.compile(r"[A-Za-z0-9_-]+")


def dumps(document: Mapping[str, Any]) -> str:
    """The document as TOML: one line for each key at the top, tables inline. Raises TypeError for what TOML cannot hold."""
    return "".join(f"{_key(key)} = {_value(value)}\n" for key, value in document.items())


class UnreadableError(ValueError):
    """A file that is no TOML document; says why, and where in the file, without naming it."""


def read(file: Path) -> dict[str, Any]:
    """The document in ``file``. Raises UnreadableError for what is no TOML, no regular file, or larger than LARGEST; never blocks."""
    try:
        # a pipe would keep who opens it waiting for ever
        descriptor = os.open(file, os.O_RDONLY | os.O_NONBLOCK | os.O_CLOEXEC)
        if not stat.S_ISREG(os.fstat(descriptor).st_mode):
            os.close(descriptor)
            raise UnreadableError("it is no regular file")
        with open(descriptor, "rb") as opened:
            content = opened.read(LARGEST + 1)
    except OSError as error:
        raise UnreadableError(error.strerror or str(error)) from error
    if len(content) > LARGEST:
        raise UnreadableError(f"it is larger than {LARGEST >> 20} MiB")
    try:
        return tomllib.loads(content.decode("utf-8"))
    except UnicodeDecodeError as error:
        line = content.count(b"\n", 0, error.start) + 1
        raise UnreadableError(f"it is not UTF-8 (at line {line})") from error
    except tomllib.TOMLDecodeError as error:
        raise UnreadableError(str(error)) from error
    except RecursionError as error:
        raise UnreadableError("its values are nested too deeply") from error


def tables(document: Mapping[str, Any], name: str) -> list[Mapping[str, Any]]:
    """The array of tables of that name; empty where there is none. Raises ValueError for anything else there."""
    value = document.get(name, [])
    if not isinstance(value, list) or not all(isinstance(entry, Mapping) for entry in value):
        raise ValueError(f"{name} must be an array of tables: [[{name}]]")
    return value


def _key(key: str) -> str:
    return key if _BARE_KEY.fullmatch(key) else _string(key)


def _value(value: Any) -> str:
    if isinstance(value, bool):
        return "true" if value else "false"
    if isinstance(value, str):
        return _string(value)
    if isinstance(value, int | float):
        return repr(value)
    if isinstance(value, dt.datetime | dt.date | dt.time):
        return value.isoformat()
    if isinstance(value, list | tuple):
        return "[" + ", ".join(_value(item) for item in value) + "]"
    if isinstance(value, Mapping):
        return "{" + ", ".join(f"{_key(key)} = {_value(item)}" for key, item in value.items()) + "}"
    raise TypeError(f"TOML has no {type(value).__name__}")


def _string(text: str) -> str:
    # JSON's escapes are a subset of TOML's, but for DEL and surrogate pairs
    return json.dumps(text, ensure_ascii=False).replace("\x7f", "\\u007f")
