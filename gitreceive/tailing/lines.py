"""Bytes of a log as lines with their times, and which of them are new."""

import re
import zlib
from collections import Counter, deque
from collections.abc import Iterable, Iterator
from datetime import UTC, datetime
from functools import lru_cache

from gitreceive.model import LogLine
from gitreceive.tailing.runs import Run

LONGEST = 256 << 10  # bytes of a line; a longer one comes in pieces
SECOND = 10**9  # nanoseconds

_PIECE = 16 << 10  # what Docker and the container runtimes write at once of a line that is longer
_REMEMBERED_LINES = 4096
_REMEMBERED = 3 * SECOND  # a log is asked for again from a whole second on


def stamped(chunks: Iterable[bytes]) -> Iterator[tuple[int, bytes]]:
    """(nanoseconds since 1970, line) of a log whose lines begin with their times.

    A line with none is the reader's own word about a file that is gone, and is left out, unless it goes on with one that was too long.
    """
    time: int | None = None
    for line, goes_on in _split(chunks):
        if goes_on and time is not None:
            yield time, line
            continue
        found = _STAMP.match(line)
        time = _nanoseconds(found) if found else None
        if found and time is not None:
            yield time, _joined(line[found.end() :]).removesuffix(b"\r")


class Seen:
    """What is known of one log, so that what is read again is told from what is new, also where two lines bear the same time, or the
    times of two streams are not quite in order.
    """

    def __init__(self, known_until: int | None = None) -> None:
        """``known_until``: nanoseconds; what is as old or older is known."""
        self._until = known_until
        self._counts: Counter[tuple[int, int]] = Counter()
        self._order: deque[tuple[int, int]] = deque()
        self._again: Counter[tuple[int, int]] = Counter()
        self._catching_up = True
        self._newest = known_until

    @property
    def since(self) -> int | None:
        """From where the log has to be asked for, so that nothing is missed; None: from its beginning."""
        return self._newest

    def begin(self) -> None:
        """The log is read from ``since`` on: what is remembered comes again first."""
        self._again = Counter(self._counts)
        self._catching_up = True

    def is_new(self, time: int, line: bytes) -> bool:
        mark = (time, zlib.crc32(line))
        if self._again.get(mark):
            self._again[mark] -= 1
            return False
        if self._catching_up and self._until is not None and time <= self._until:
            return False
        if self._catching_up and not self._again.total():
            self._catching_up = False  # from here on the clock may be set back
        self._remember(mark)
        return True

    def skip_before(self, time: int) -> None:
        """What is older than ``time`` is not wanted."""
        self._until = max(time - 1, self._until or 0)
        self._newest = max(time - 1, self._newest or 0)

    def _remember(self, mark: tuple[int, int]) -> None:
        self._counts[mark] += 1
        self._order.append(mark)
        self._newest = max(mark[0], self._newest or 0)
        while len(self._order) > _REMEMBERED_LINES or self._order[0][0] < self._newest - _REMEMBERED:
            old = self._order.popleft()
            self._counts[old] -= 1
            if not self._counts[old]:
                del self._counts[old]
            self._until = max(old[0], self._until or 0)


def line_of(run: Run, time: int, text: bytes) -> LogLine:
    moment = datetime.fromtimestamp(time // SECOND, UTC).replace(microsecond=time % SECOND // 1000)
    return LogLine(
        moment, run.instance, run.process, text.decode("utf-8", "replace"), run.source, run.log, time, time
    )


def nanoseconds(moment: datetime) -> int:
    return int(moment.timestamp() * 10**6) * 1000


def _split(chunks: Iterable[bytes]) -> Iterator[tuple[bytes, bool]]:
    """Lines, and whether one goes on with the line before. Pieces of a long line are cut where they would be cut again."""
    rest, goes_on = bytearray(), False
    for chunk in chunks:
        *whole, last = chunk.split(b"\n")
        for line in whole:
            rest += line
            yield from _pieces(rest, goes_on=goes_on)
            rest, goes_on = bytearray(), False
        rest += last
        while len(rest) > LONGEST:
            yield bytes(rest[:LONGEST]), goes_on
            del rest[:LONGEST]
            goes_on = True
    if rest:
        yield from _pieces(rest, goes_on=goes_on)


def _pieces(line: bytearray, *, goes_on: bool) -> Iterator[tuple[bytes, bool]]:
    for start in range(0, max(1, len(line)), LONGEST):
        yield bytes(line[start : start + LONGEST]), goes_on or start > 0


def _joined(line: bytes) -> bytes:
    """Without the times that a long line has within, as it was written in pieces."""
    if len(line) <= _PIECE:
        return line
    parts, start = [], 0
    while found := _STAMP.match(line, start + _PIECE):
        parts.append(line[start : start + _PIECE])
        start = found.end()
    return b"".join([*parts, line[start:]])


# RFC 3339 with up to nine digits of a second
_STAMP = re.compile(rb"(\d{4}-\d\d-\d\dT\d\d:\d\d:\d\d)(?:\.(\d{1,9}))?(Z|[+-]\d\d:\d\d) ?")


def _nanoseconds(stamp: re.Match[bytes]) -> int | None:
    second, fraction, offset = stamp.groups()
    whole = _whole_seconds(second + offset)
    return None if whole is None else whole * SECOND + int((fraction or b"").ljust(9, b"0"))


@lru_cache(maxsize=64)
def _whole_seconds(stamp: bytes) -> int | None:
    try:
        return int(datetime.fromisoformat(stamp.decode("ascii")).timestamp())
    except ValueError:
        return None
