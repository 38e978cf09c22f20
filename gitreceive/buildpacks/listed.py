"""``.buildpacks``, the file by which Heroku's apps name several buildpacks: one reference a line. Pure."""

from gitreceive.errors import SourceError, UsageError
from gitreceive.model import MOST_BUILDPACKS, BuildpackRef

FILE = ".buildpacks"
LARGEST = 64 << 10  # bytes


def parse_listed(content: bytes) -> tuple[BuildpackRef, ...]:
    """In order; empty lines and those that begin with ``#`` are left out. Raises SourceError, naming the line."""
    if len(content) >= LARGEST:
        raise SourceError(f"{FILE} is larger than {LARGEST >> 10} KiB", hint="write one buildpack a line")
    try:
        lines = content.decode("utf-8").splitlines()
    except UnicodeDecodeError as error:
        where = content.count(b"\n", 0, error.start) + 1
        raise SourceError(f"{FILE} is not UTF-8 (at line {where})", hint="save it as UTF-8") from error
    found = []
    for number, line in enumerate(lines, 1):
        text = line.strip()
        if text and not text.startswith("#"):
            found.append(_parse(text, number))
    if len(found) > MOST_BUILDPACKS:
        raise SourceError(f"{FILE} names {len(found)} buildpacks; a group has at most {MOST_BUILDPACKS}")
    return tuple(found)


def _parse(text: str, number: int) -> BuildpackRef:
    try:
        return BuildpackRef.parse(text)
    except UsageError as error:
        raise SourceError(f"{FILE} line {number}: {error.message}", hint=error.hint) from error
