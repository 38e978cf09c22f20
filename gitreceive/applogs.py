"""All that an app says: its processes and one-off runs, from the target; builds and release commands, from the logs of its jobs."""

import logging
import queue
import threading
from collections import deque
from collections.abc import Callable, Iterator
from contextlib import suppress
from dataclasses import replace
from typing import Self

from gitreceive.errors import GitreceiveError, NotFoundError, UnavailableError
from gitreceive.joblogs import FROM_JOBS, JobLog, shows
from gitreceive.model import FROM_CONTAINERS, App, Job, LogLine, LogQuery
from gitreceive.ports import Ledger, LogBook, Target

_log = logging.getLogger(__name__)

_LOOK_SECONDS = 0.4
_JOBS_SECONDS = 0.8
_MOST_JOBS = 20  # that are looked back at
_WAITING_LINES = 1000


class AppLogs:
    """The logs of one app. Raises what the target, the ledger and the logbook raise."""

    def __init__(self, app: App, target: Target, ledger: Ledger, logbook: LogBook) -> None:
        self.app = app
        self._target = target
        self._ledger = ledger
        self._logbook = logbook

    def read(self, query: LogQuery) -> list[LogLine]:
        """What there is, by time."""
        found = [line for log in self.job_logs(query) for line in log]
        found += self.of_target(query)
        found.sort(key=lambda line: line.nanoseconds)
        return found if query.lines is None else found[max(0, len(found) - query.lines) :]

    def follow(self, query: LogQuery) -> "Following":
        """The same, and then what comes, until the app is destroyed, or the one job that is asked for has ended."""
        return Following(self, replace(query, follow=True))

    def of_target(self, query: LogQuery) -> Iterator[LogLine]:
        sources = query.sources & FROM_CONTAINERS
        if not sources or query.job is not None:
            return iter(())
        return self._target.logs(self.app.name, replace(query, sources=sources))

    def jobs(self, query: LogQuery) -> list[Job]:
        """Those whose logs are asked for, newest first."""
        if not query.sources & FROM_JOBS:
            return []
        if query.job is not None:
            return [self._ledger.job(query.job)]
        return list(self._ledger.jobs(self.app.name, _MOST_JOBS))

    def job_log(self, job: Job, known: int = 0) -> JobLog:
        """``known``: bytes of it that are known."""
        return JobLog(job, self._logbook, known)

    def job_logs(self, query: LogQuery, read: dict[int, JobLog] | None = None) -> Iterator[list[LogLine]]:
        """What is asked for of each job, newest job first, until there are lines enough. ``read`` is given the logs."""
        count = 0
        for job in self.jobs(query):
            log = self.job_log(job)
            if read is not None:
                read[job.id] = log
            lines = [line for line in log.new_lines(ended=job.state.ended) if shows(query, line)]
            yield lines
            count += len(lines)
            if query.lines is not None and count >= query.lines:
                return

    def is_there(self) -> bool:
        """Whether the app is, and is still the same one."""
        try:
            return self._ledger.app(self.app.name).created_at == self.app.created_at
        except NotFoundError:
            return False


class Following(Iterator[LogLine]):
    """``close`` ends it, from any thread."""

    def __init__(self, logs: AppLogs, query: LogQuery) -> None:
        self._logs = logs
        self._query = query
        self._closed = threading.Event()
        self._arrived: queue.Queue[LogLine] = queue.Queue(_WAITING_LINES)
        self._over: GitreceiveError | bool = False  # what ended it
        self._held: LogLine | None = None
        self._read: dict[int, JobLog] = {}
        self._done: set[int] = set()
        self._history: deque[LogLine] = deque()  # of jobs
        if query.lines is not None:
            self._look_back(query.lines)
        self._target = logs.of_target(query)
        for work in (self._pump, self._look):
            threading.Thread(target=self._guarded, args=(work,), name="applogs", daemon=True).start()

    def __iter__(self) -> Self:
        return self

    def __next__(self) -> LogLine:
        """History of jobs that is older than what a process said goes first."""
        while not self._closed.is_set():
            if self._held is None:
                with suppress(queue.Empty):
                    self._held = self._arrived.get(timeout=_LOOK_SECONDS)
            held = self._held
            if self._history and (held is None or self._history[0].nanoseconds <= held.nanoseconds):
                return self._history.popleft()
            if held is not None:
                self._held = None
                return held
            self._end_if_over()
        raise StopIteration

    def close(self) -> None:
        self._closed.set()
        close: Callable[[], object] | None = getattr(self._target, "close", None)
        if close is not None:
            close()

    def _end_if_over(self) -> None:
        if self._over and self._arrived.empty():
            self.close()
            if isinstance(self._over, GitreceiveError):
                raise self._over

    def _look_back(self, lines: int) -> None:
        found = [line for log in self._logs.job_logs(self._query, self._read) for line in log]
        found.sort(key=lambda line: line.nanoseconds)
        self._history.extend(found[max(0, len(found) - lines) :])
        self._done.update(job.id for job in self._logs.jobs(self._query) if job.id not in self._read)

    def _guarded(self, work: Callable[[], None]) -> None:
        try:
            work()
        except GitreceiveError as error:
            self._over = error
        except Exception as error:  # noqa: BLE001 - told to whoever reads
            _log.exception("logs cannot be followed")
            self._over = UnavailableError(f"logs cannot be followed: {type(error).__name__}")

    def _pump(self) -> None:
        for line in self._target:
            self._put(line)

    def _look(self) -> None:
        """At the jobs' logs, and whether the app is there: what is said before its end is still given out."""
        while not self._closed.wait(_JOBS_SECONDS):
            with suppress(UnavailableError):
                there = self._logs.is_there()
                ended = there and self._look_at_jobs()
                if ended or not there:
                    self._over = True
                    return

    def _look_at_jobs(self) -> bool:
        """Whether nothing more can come: the one job that is asked for has ended."""
        for job in reversed(self._logs.jobs(self._query)):
            if job.id in self._done:
                continue
            if job.id not in self._read:
                if job.id <= self._query.jobs_after:
                    continue
                known = self._query.after.get(f"job/{job.id}", 0)
                self._read[job.id] = self._logs.job_log(job, known)
            for line in self._read[job.id].new_lines(ended=job.state.ended):
                if shows(self._query, line):
                    self._put(line)
            if job.state.ended:
                self._done.add(job.id)
                del self._read[job.id]
        return self._query.job is not None and self._query.job in self._done

    def _put(self, line: LogLine) -> None:
        while not self._closed.is_set():
            with suppress(queue.Full):
                self._arrived.put(line, timeout=_LOOK_SECONDS)
                return
