"""What a target is asked for."""

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from typing import Protocol

from gitreceive.model import LogQuery, LogSource


@dataclass(frozen=True)
class Run:
    """What writes, or has written, one log. ``log`` is its name, for good; ``ended``: nothing more comes, as far as is known."""

    log: str
    instance: str
    process: str
    source: LogSource
    ended: bool


class OpenLog(Protocol):
    """A log that is being read."""

    def __iter__(self) -> Iterator[bytes]:
        """Its bytes, in any pieces; each line begins with its time (RFC 3339) and a blank. Raises UnavailableError where it breaks off."""

    def close(self) -> None:
        """From any thread: the reader is woken and ends."""


class Runs(Protocol):
    """All methods may be called from several threads. They raise UnavailableError where the target does not answer.

    ``late_seconds``: by how much ``there`` may be behind what runs. Until it has told of the end of a run, ``open`` may give what came after it.
    """

    @property
    def late_seconds(self) -> float: ...

    def there(self) -> Sequence[Run]:
        """Those that have a log now. Raises other errors of ``errors.py`` where asking again is of no use."""

    def wait(self, seconds: float) -> None:
        """Until there may be others, and no longer than that."""

    def open(self, run: Run, *, since: int | None, tail: int | None, follow: bool) -> OpenLog:
        """Its lines from the second of ``since`` on (nanoseconds; None: all), the last ``tail`` of them. With ``follow`` it goes on
        until the run ends. Raises RolloutError where the log is gone, or is not there yet.
        """


def wanted(run: Run, query: LogQuery) -> bool:
    return run.source in query.sources and query.process in {None, run.process, run.instance}
