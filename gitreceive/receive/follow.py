"""A job's log as it grows, for whoever waits for its end."""

import threading
import time
from collections.abc import Callable, Mapping, Sequence
from datetime import UTC, datetime
from typing import Protocol

from gitreceive.model import AppName, InLine, Job, JobId, JobState
from gitreceive.ports import JobLedger, LogBook
from gitreceive.voice import Voice

_SHORTEST, _LONGEST = 0.04, 0.2  # seconds between two looks; output that comes is shown within the longer one
_QUEUED = 1.0  # the longest while it is queued
_FRESH = 0.1  # seconds for which what was seen of the line holds
_SHARE = 10  # looking at it takes no more than one part in so many of the time
_PATIENCE = 1.0  # seconds in the queue before something is said of it
_QUOTA_LOOKS = 5  # of so many looks one asks which quota is in the way


class Audience(Protocol):
    """Who watches. Both methods raise when nobody does any more."""

    def say(self, output: bytes) -> None: ...

    def wait(self, seconds: float) -> None: ...


class Line:
    """The jobs that have not ended, looked at once for all who wait in this process: that hundreds wait takes nothing from what they wait for.

    What it tells is old by a tenth of a second, or by ten times as long as the last look took. Thread-safe.
    """

    def __init__(self, jobs: JobLedger, clock: Callable[[], float] = time.monotonic) -> None:
        self._jobs = jobs
        self._clock = clock
        self._lock = threading.Lock()
        self._by_app: Mapping[AppName, Sequence[InLine]] = {}
        self._by_id: Mapping[JobId, InLine] = {}
        self._until = 0.0

    def place(self, job: JobId) -> InLine | None:
        """None where it has ended, or has come since the last look."""
        self._look()
        return self._by_id.get(job)

    def ahead(self, place: InLine) -> list[InLine]:
        """What stands before it in the line of its app, oldest first."""
        return [other for other in self._by_app.get(place.app, ()) if other.id < place.id]

    def _look(self) -> None:
        with self._lock:
            began = self._clock()
            if began < self._until:
                return
            by_app: dict[AppName, list[InLine]] = {}
            found = self._jobs.in_line()
            for one in found:
                by_app.setdefault(one.app, []).append(one)
            self._by_app, self._by_id = by_app, {one.id: one for one in found}
            ended = self._clock()
            self._until = ended + max(_FRESH, _SHARE * (ended - began))


def follow(
    job: Job, jobs: JobLedger, logbook: LogBook, voice: Voice, audience: Audience, line: Line | None = None
) -> Job:
    """Show the log from its first byte until the job has ended; the ended job. While it waits, say behind what.

    The log is complete once the ledger says that the job has ended. ``line``: of those who follow in the same process.
    """
    line = line or Line(jobs)
    offset, pause, queue = 0, _SHORTEST, _Queue(jobs, line, voice)
    while True:
        place = line.place(job.id)
        if place is None:
            job = jobs.job(job.id)
        shown = _relay(job.id, offset, logbook, audience)
        offset += shown
        if job.state.ended:
            return job
        queued = (place or job).state is JobState.QUEUED
        if place is not None and queued:
            queue.tell(place)
        pause = _SHORTEST if shown else min(pause * 1.2, _QUEUED if queued else _LONGEST)
        audience.wait(pause)


def _relay(job: JobId, offset: int, logbook: LogBook, audience: Audience) -> int:
    start = offset
    while chunk := logbook.read(job, offset):
        audience.say(chunk)
        offset += len(chunk)
    return offset - start


class _Queue:
    """Says once for each job that comes to stand in front what is waited for."""

    def __init__(self, jobs: JobLedger, line: Line, voice: Voice) -> None:
        self._jobs = jobs
        self._line = line
        self._voice = voice
        self._since = datetime.now(UTC)
        self._told: JobId | None = None
        self._why = ""
        self._looks = 0

    def tell(self, place: InLine) -> None:
        ahead = self._line.ahead(place)
        if ahead and ahead[0].id != self._told:
            self._told = ahead[0].id
            self._voice.step(_waiting_for(ahead))
        waited = (datetime.now(UTC) - self._since).total_seconds()
        if not ahead and waited > _PATIENCE:
            if self._looks % _QUOTA_LOOKS == 0:
                self._tell_why(self._jobs.held_back(place.id))
            self._looks += 1

    def _tell_why(self, quota: str) -> None:
        why = f"Waiting: {quota}" if quota else "Waiting for a free builder"
        if why != self._why:
            self._why = why
            self._voice.step(why)


def _waiting_for(ahead: Sequence[InLine]) -> str:
    first = ahead[0]
    seconds = max(0, round((datetime.now(UTC) - first.since).total_seconds()))
    state = str(first.state).replace("_", " ")
    others = f" and {len(ahead) - 1} more" if len(ahead) > 1 else ""
    return f"Waiting for build {first.id} by {first.user} ({state}, {seconds} s){others}"
