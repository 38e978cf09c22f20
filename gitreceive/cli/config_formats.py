"""Config as text, in both directions: JSON, dotenv files, and for a shell. What is written here is read here, to the byte.

Of dotenv there is no one specification; what is read and written is what the library python-dotenv reads, without its interpolation: ``$`` means
nothing.
"""

import io
import json
import re
import shlex
from collections.abc import Iterator, Mapping

from gitreceive.errors import UsageError
from gitreceive.model import Secret

READ = ("dotenv", "json")
WRITTEN = ("json", "dotenv", "shell")

_NAME = re.compile(r"[A-Za-z_][A-Za-z0-9_]*", re.ASCII)
_FORMAT = 'write {"NAME": "VALUE", …}, or lines of NAME=VALUE, as config export does'


def parse(content: bytes, form: str | None) -> dict[str, Secret]:
    """``form`` None: what begins with a brace is JSON, as no dotenv file does. Raises UsageError, which names variables and no values."""
    try:
        text = content.decode()
    except UnicodeDecodeError:
        raise UsageError("standard input is not UTF-8", hint=_FORMAT) from None
    begins_as_json = text.lstrip("\ufeff \t\r\n").startswith(("{", "["))
    pairs = (
        _of_json(text) if (form or ("json" if begins_as_json else "dotenv")) == "json" else _of_dotenv(text)
    )
    values: dict[str, Secret] = {}
    for name, value in pairs:
        if name in values:
            raise UsageError(f"{name[:60]!r} is there twice", hint="give one value")
        values[name] = Secret(value)
    return values


def write(config: Mapping[str, Secret], form: str) -> str:
    """By name, each line ended."""
    values = {name: value.reveal() for name, value in sorted(config.items())}
    if form == "json":
        return json.dumps(values, indent=2) + "\n"
    quote = shlex.quote if form == "shell" else _quoted
    begin = "export " if form == "shell" else ""
    return "".join(f"{begin}{name}={quote(value)}\n" for name, value in values.items())


def _quoted(value: str) -> str:
    """In single quotes, in which nearly all who read such files take everything as it is."""
    return "'" + value.replace("\\", "\\\\").replace("'", "\\'") + "'"


def _of_dotenv(text: str) -> Iterator[tuple[str, str]]:
    from dotenv.parser import parse_stream

    for binding in parse_stream(io.StringIO(text, newline="")):
        line = binding.original.line + _lines_before(binding.original.string)
        if binding.error:
            raise UsageError(
                f"line {line} of standard input cannot be read",
                hint="write NAME=VALUE; a quote that opens has to close, with nothing but a comment behind it",
            )
        if binding.key is None:
            continue
        if binding.value is None:
            raise UsageError(f"line {line} of standard input has no '='", hint=_FORMAT)
        if not _NAME.fullmatch(binding.key):  # which may be a piece of a value that nobody quoted
            raise UsageError(
                f"line {line} of standard input begins with no name of a variable",
                hint="a value of many lines has to be quoted",
            )
        yield binding.key, binding.value


def _lines_before(original: str) -> int:
    """Blank lines that the parser counts to what follows them."""
    return (original[: len(original) - len(original.lstrip())]).count("\n")


def _of_json(text: str) -> Iterator[tuple[str, str]]:
    try:
        pairs = json.loads(text.removeprefix("\ufeff"), object_pairs_hook=_Pairs)
    except (ValueError, RecursionError):
        raise UsageError("standard input is not JSON", hint=_FORMAT) from None
    if not isinstance(pairs, _Pairs):
        raise UsageError("standard input is not a JSON object", hint=_FORMAT)
    for name, value in pairs:
        if not isinstance(value, str):
            raise UsageError(f"the value of {name[:60]!r} is not a text", hint='write it in quotes: "1"')
        yield name, value


class _Pairs(list[tuple[str, object]]):
    """An object of JSON with all its members, also where two have one name."""
