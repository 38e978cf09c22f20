"""When a log was written, in a file beside it: a line ``<offset> <microseconds since 1970>`` for each tenth of a second with output."""

import time
from datetime import UTC, datetime
from pathlib import Path

_EVERY_SECONDS = 0.1
_LONGEST = 1 << 20  # bytes: a build that speaks without a pause for half an hour


class Times:
    """Of one log that is being written. Raises OSError."""

    def __init__(self, log: Path) -> None:
        self._path = _path(log)
        self._last = 0.0

    def tick(self, offset: int) -> None:
        """What is written from ``offset`` on is written now."""
        now = time.monotonic()
        if self._last and now - self._last < _EVERY_SECONDS:
            return
        self._last = now
        with self._path.open("ab") as file:
            if file.tell() < _LONGEST:
                file.write(b"%d %d\n" % (offset, time.time_ns() // 1000))

    @staticmethod
    def read(log: Path) -> list[tuple[int, datetime]]:
        """A line that was cut short by a crash is left out."""
        try:
            lines = _path(log).read_bytes().splitlines(keepends=True)
        except FileNotFoundError:
            return []
        words = [line.split() for line in lines if line.endswith(b"\n")]
        return [
            (int(offset), datetime.fromtimestamp(int(moment) / 10**6, UTC))
            for offset, moment in (pair for pair in words if len(pair) == 2)
        ]

    @staticmethod
    def remove(log: Path) -> None:
        """No error where there are none."""
        _path(log).unlink(missing_ok=True)


def _path(log: Path) -> Path:
    return log.with_suffix(".times")
