"""A target in memory whose logs break off, end, rotate and vanish when a test says so."""

import threading
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, field, replace
from datetime import UTC, datetime

from gitreceive.errors import GitreceiveError, RolloutError, UnavailableError
from gitreceive.model import LogSource
from gitreceive.tailing import Run
from gitreceive.tailing.lines import SECOND

EPOCH = 1_700_000_000 * SECOND


def stamp(time: int) -> bytes:
    moment = datetime.fromtimestamp(time // SECOND, UTC)
    return moment.strftime("%Y-%m-%dT%H:%M:%S").encode() + b".%09dZ " % (time % SECOND)


@dataclass
class FakeLog:
    """``opened`` counts who reads; ``broken`` breaks each reader off where it is."""

    run: Run
    lines: list[tuple[int, bytes]] = field(default_factory=list)
    breaks: int = 0
    opened: int = 0
    gone: bool = False


class FakeRuns:
    """``failure`` is raised by whatever is asked, until it is taken away."""

    def __init__(self) -> None:
        self.changed = threading.Condition()
        self.logs: dict[str, FakeLog] = {}
        self.failure: GitreceiveError | None = None
        self.most_streams = self.streams = 0
        self.late_seconds = 0.0
        self.clean_ends = False  # connections end as if the log had
        self._time = EPOCH

    def add(self, log: str, process: str = "web", source: LogSource = LogSource.APP) -> None:
        with self.changed:
            self.logs[log] = FakeLog(Run(log, f"{process}.{log}", process, source, ended=False))
            self.changed.notify_all()

    def say(self, log: str, *texts: str, at: int | None = None) -> None:
        """Each a millisecond later than what was said before, or all ``at`` nanoseconds after the beginning."""
        with self.changed:
            for text in texts:
                self._time += SECOND // 1000
                self.logs[log].lines.append((self._time if at is None else EPOCH + at, text.encode()))
            self.changed.notify_all()

    def end(self, log: str) -> None:
        with self.changed:
            self.logs[log].run = replace(self.logs[log].run, ended=True)
            self.changed.notify_all()

    def start_again(self, log: str) -> None:
        with self.changed:
            self.logs[log].run = replace(self.logs[log].run, ended=False)
            self.changed.notify_all()

    def remove(self, log: str) -> None:
        with self.changed:
            self.logs.pop(log).gone = True
            self.changed.notify_all()

    def break_off(self) -> None:
        with self.changed:
            for log in self.logs.values():
                log.breaks += 1
            self.changed.notify_all()

    def rotate(self, log: str, keep: int) -> None:
        with self.changed:
            self.logs[log].lines = self.logs[log].lines[-keep:]

    # --- what a target does ---------------------------------------------------------------------------------------

    def there(self) -> Sequence[Run]:
        with self.changed:
            if self.failure:
                raise self.failure
            return [log.run for log in self.logs.values()]

    def wait(self, seconds: float) -> None:
        with self.changed:
            self.changed.wait(min(seconds, 0.02))

    def open(self, run: Run, *, since: int | None, tail: int | None, follow: bool) -> "FakeOpenLog":
        with self.changed:
            if self.failure:
                raise self.failure
            if run.log not in self.logs:
                raise RolloutError("gone")
            log = self.logs[run.log]
            log.opened += 1
            known = [line for line in log.lines if since is None or line[0] // SECOND >= since // SECOND]
            start = known if tail is None else known[max(0, len(known) - tail) :]
            return FakeOpenLog(self, log, start, len(log.lines), follow=follow)


class FakeOpenLog:
    def __init__(
        self, runs: FakeRuns, log: FakeLog, start: list[tuple[int, bytes]], at: int, *, follow: bool
    ) -> None:
        self._runs, self._log, self._start, self._at, self._follow = runs, log, start, at, follow
        self._breaks = log.breaks
        self._closed = False

    def __iter__(self) -> Iterator[bytes]:
        for time, text in self._start:
            yield stamp(time) + text + b"\n"
        if self._follow:
            yield from self._grow()

    def _grow(self) -> Iterator[bytes]:
        runs, log = self._runs, self._log
        with runs.changed:
            runs.streams += 1
            runs.most_streams = max(runs.most_streams, runs.streams)
        try:
            while True:
                with runs.changed:
                    runs.changed.wait_for(self._something, timeout=10)
                    new, self._at = log.lines[self._at :], len(log.lines)
                    broken = log.breaks != self._breaks
                    over = self._closed or log.gone or (log.run.ended and not new)
                for time, text in new:
                    yield stamp(time) + text + b"\n"
                if broken and not runs.clean_ends:
                    raise UnavailableError("the connection broke")
                if broken or over:
                    return
        finally:
            with runs.changed:
                runs.streams -= 1

    def _something(self) -> bool:
        log = self._log
        return (
            self._closed
            or log.gone
            or log.run.ended
            or log.breaks != self._breaks
            or len(log.lines) > self._at
        )

    def close(self) -> None:
        with self._runs.changed:
            self._closed = True
            self._runs.changed.notify_all()
