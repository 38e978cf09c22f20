"""All logs of an app as they grow, over restarts, replaced containers, rotated files and connections that break off."""

import logging
import queue
import threading
import time
from collections.abc import Iterator
from contextlib import suppress
from typing import Self

from gitreceive.errors import GitreceiveError, RolloutError, UnavailableError
from gitreceive.model import LogLine, LogQuery
from gitreceive.tailing.history import read
from gitreceive.tailing.lines import SECOND, Seen, line_of, nanoseconds, stamped
from gitreceive.tailing.runs import OpenLog, Run, Runs, wanted

_log = logging.getLogger(__name__)

MOST_STREAMS = 48  # open at once; logs past these are looked at in turns

_LOOK_SECONDS = 5.0
_PAUSE_SECONDS = 0.2
_LONGEST_PAUSE = 5.0
_TURN_SECONDS = 2.0
_WAITING_LINES = 10_000  # a slow reader holds up to these; more waits where it was written
_OVERLAP = SECOND // 10


class Follower(Iterator[LogLine]):
    """The history that the query asks for, by time, and then each line as it comes; of one log in its order. It never ends by itself.

    ``close`` ends it, from any thread. A target that does not answer is asked again; ``__next__`` raises what is past that.
    """

    def __init__(self, runs: Runs, query: LogQuery, streams: int = MOST_STREAMS) -> None:
        self._runs = runs
        self._query = query
        self._closed = threading.Event()
        self._arrived: queue.Queue[LogLine | GitreceiveError] = queue.Queue(_WAITING_LINES)
        self._slots = threading.BoundedSemaphore(streams)
        self._turns = threading.BoundedSemaphore(4)
        self._lock = threading.Lock()
        self._seen: dict[str, Seen] = {}
        self._there: dict[str, Run] = {}
        self._open: dict[str, OpenLog] = {}
        self._readers: dict[str, threading.Thread] = {}
        self._first: Iterator[LogLine] = iter(())
        if query.lines is not None:
            self._first = iter(read(runs, query, self._seen))
        self._keeper = threading.Thread(target=self._guarded, name="logs", daemon=True)
        self._keeper.start()

    def __iter__(self) -> Self:
        return self

    def __next__(self) -> LogLine:
        for line in self._first:
            return line
        while not self._closed.is_set():
            try:
                arrived = self._arrived.get(timeout=_PAUSE_SECONDS)
            except queue.Empty:
                continue
            if isinstance(arrived, GitreceiveError):
                self.close()
                raise arrived
            return arrived
        raise StopIteration

    def close(self) -> None:
        self._closed.set()
        with self._lock:
            for log in self._open.values():
                log.close()

    def _guarded(self) -> None:
        """Whoever reads must not wait for a thread that has died."""
        try:
            self._keep()
        except Exception as error:  # noqa: BLE001 - told to whoever reads
            _log.exception("logs cannot be followed")
            self._put(UnavailableError(f"logs cannot be followed: {type(error).__name__}"))

    def _keep(self) -> None:
        """See that every log that there is has its reader."""
        pause = _PAUSE_SECONDS
        while not self._closed.is_set():
            try:
                there = {run.log: run for run in self._runs.there() if wanted(run, self._query)}
            except UnavailableError:
                self._closed.wait(pause)
                pause = min(_LONGEST_PAUSE, pause * 2)
                continue
            except GitreceiveError as error:
                self._put(error)
                return
            pause = _PAUSE_SECONDS
            with self._lock:
                self._there = there
            gone = self._readers.keys() - there.keys()
            for run in there.values():
                self._see_to(run)
            self._let_go(gone)
            self._runs.wait(_LOOK_SECONDS)

    def _see_to(self, run: Run) -> None:
        reader = self._readers.get(run.log)
        if reader is not None and (run.ended or reader.is_alive()):
            return
        seen = self._seen.setdefault(run.log, self._unseen(run))
        reader = threading.Thread(target=self._read, args=(run, seen), name="log", daemon=True)
        self._readers[run.log] = reader
        reader.start()

    def _let_go(self, gone: set[str]) -> None:
        """Of logs that are no more, no more than a time is kept: a target may err, and show one again."""
        for log in gone:
            reader = self._readers.get(log)
            if reader is not None and not reader.is_alive():
                del self._readers[log]
                self._seen[log] = Seen(self._seen[log].since)

    def _unseen(self, run: Run) -> Seen:
        known = self._query.after.get(run.log)
        if known is not None:
            return Seen(known - _OVERLAP)
        return Seen(nanoseconds(self._query.since) - 1 if self._query.since else None)

    def _read(self, run: Run, seen: Seen) -> None:
        pause = _PAUSE_SECONDS
        while not self._closed.is_set():
            ended = self._has_ended(run)  # as it was before the log was opened: then all of it is read
            try:
                streaming = self._slots.acquire(blocking=False)
                try:
                    self._pass(run, seen, follow=streaming)
                finally:
                    if streaming:
                        self._slots.release()
            except UnavailableError:
                self._closed.wait(pause)
                pause = min(_LONGEST_PAUSE, pause * 2)
                continue
            except RolloutError:
                return  # the log is gone
            if ended:
                return
            pause = _PAUSE_SECONDS
            self._closed.wait(_PAUSE_SECONDS if streaming else _TURN_SECONDS)
            if streaming:
                self._await_end(run)

    def _pass(self, run: Run, seen: Seen, *, follow: bool) -> None:
        """Once through the log, from what is known of it on."""
        if not follow:
            with self._turns:
                self._take(run, seen, follow=False)
        else:
            self._take(run, seen, follow=True)

    def _take(self, run: Run, seen: Seen, *, follow: bool) -> None:
        seen.begin()
        log = self._runs.open(run, since=seen.since, tail=None, follow=follow)
        with self._lock:
            self._open[run.log] = log
        try:
            if self._closed.is_set():
                return
            for stamp, text in stamped(log):
                if self._closed.is_set():
                    return
                if seen.is_new(stamp, text):
                    self._put(line_of(run, stamp, text))
        finally:
            with self._lock:
                self._open.pop(run.log, None)
            log.close()

    def _await_end(self, run: Run) -> None:
        """A log that was followed and came to its end has most likely ended, whether or not that is known yet."""
        until = time.monotonic() + self._runs.late_seconds
        while not self._has_ended(run) and time.monotonic() < until:
            if self._closed.wait(_PAUSE_SECONDS):
                return

    def _has_ended(self, run: Run) -> bool:
        with self._lock:
            now = self._there.get(run.log)
        return now is None or now.ended

    def _put(self, arrived: LogLine | GitreceiveError) -> None:
        while not self._closed.is_set():
            with suppress(queue.Full):
                self._arrived.put(arrived, timeout=_PAUSE_SECONDS)
                return
