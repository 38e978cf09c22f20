"""The logs of jobs as lines among those of processes: what a build says, and what the release command prints."""

from bisect import bisect_right
from collections.abc import Iterator
from dataclasses import dataclass, field
from datetime import UTC, datetime

from gitreceive.model import Job, LogLine, LogQuery, LogSource
from gitreceive.ports import LogBook

FROM_JOBS = frozenset({LogSource.BUILD, LogSource.RELEASE})
RELEASE_STEP = (
    "Running the release command of "  # from here to the next step it is the release command that speaks
)

_STEP = b"-----> "
_MARK = b" !     "
_INDENT = b" " * 7
_CHUNK = 1 << 18


@dataclass
class JobLog:
    """One job's log, read as far as it has come; ``offset`` is how far, in bytes, and ``shown_from`` what was known before."""

    job: Job
    logbook: LogBook
    shown_from: int = 0
    offset: int = 0
    _rest: bytes = b""
    _releasing: bool = False
    _times: list[tuple[int, datetime]] = field(default_factory=list)

    def new_lines(self, *, ended: bool) -> Iterator[LogLine]:
        """Each line that is whole; where the job has ``ended``, also one without an end."""
        self._times = list(self.logbook.times(self.job.id))
        while chunk := self.logbook.read(self.job.id, self.offset + len(self._rest), _CHUNK):
            *whole, self._rest = (self._rest + chunk).split(b"\n")
            for line in whole:
                yield from self._line(line, len(line) + 1)
        if ended and self._rest:
            rest, self._rest = self._rest, b""
            yield from self._line(rest, len(rest))

    def _line(self, line: bytes, size: int) -> Iterator[LogLine]:
        releasing = self._releasing and not line.startswith((_STEP, _MARK))
        self._releasing = releasing or line.startswith(_STEP + RELEASE_STEP.encode())
        start, self.offset = self.offset, self.offset + size
        if start >= self.shown_from:
            yield self._as_line(line, start, releasing=releasing)

    def _as_line(self, line: bytes, start: int, *, releasing: bool) -> LogLine:
        time = self._time(start)
        source = LogSource.RELEASE if releasing else LogSource.BUILD
        return LogLine(
            time,
            f"{source}.{self.job.id}",
            str(source),
            (line.removeprefix(_INDENT) if releasing else line).decode("utf-8", "replace"),
            source,
            f"job/{self.job.id}",
            nanoseconds=int(time.timestamp() * 10**6) * 1000,
            position=self.offset,
        )

    def _time(self, offset: int) -> datetime:
        at = bisect_right(self._times, offset, key=lambda mark: mark[0])
        return self._times[at - 1][1] if at else (self.job.started_at or self.job.created_at).astimezone(UTC)


def shows(query: LogQuery, line: LogLine) -> bool:
    """Whether a job's line is asked for."""
    return (
        line.source in query.sources
        and query.process in {None, line.process, line.instance}
        and (query.since is None or line.time >= query.since)
        and (query.until is None or line.time <= query.until)
    )
