"""A job's log as it grows, for whoever waits for its end."""

import threading
from collections.abc import Iterator
from contextlib import contextmanager
from datetime import UTC, datetime
from typing import Protocol

from gitreceive.model import Job, JobId, JobState
from gitreceive.ports import JobLedger, LogBook
from gitreceive.voice import Voice

_SHORTEST, _LONGEST = 0.04, 0.2  # seconds between two looks; output that comes is shown within the longer one
_QUEUED = 1.0  # the longest while it is queued
_LOOKS = 50.0  # a second, of all who wait in one process: each asks the ledger, and hundreds may wait
_PATIENCE = 1.0  # seconds in the queue before something is said of it


class Audience(Protocol):
    """Who watches. Both methods raise when nobody does any more."""

    def say(self, output: bytes) -> None: ...

    def wait(self, seconds: float) -> None: ...


class Pace:
    """How often those look who wait together: the more they are, the more seldom each, so that waiting takes nothing from what is waited for."""

    def __init__(self) -> None:
        self._waiting = 0
        self._lock = threading.Lock()

    @contextmanager
    def kept(self) -> Iterator[None]:
        """One more waits while inside."""
        with self._lock:
            self._waiting += 1
        try:
            yield
        finally:
            with self._lock:
                self._waiting -= 1

    @property
    def seconds(self) -> float:
        """Between two looks of one of them at a job in the queue."""
        return max(_QUEUED, self._waiting / _LOOKS)


def follow(
    job: Job, jobs: JobLedger, logbook: LogBook, voice: Voice, audience: Audience, pace: Pace | None = None
) -> Job:
    """Show the log from its first byte until the job has ended; the ended job. While it waits, say behind what.

    The log is complete once the ledger says that the job has ended. ``pace``: of those who follow in the same process.
    """
    pace = pace or Pace()
    with pace.kept():
        return _follow(job, jobs, logbook, voice, audience, pace)


def _follow(job: Job, jobs: JobLedger, logbook: LogBook, voice: Voice, audience: Audience, pace: Pace) -> Job:
    offset, pause, queue = 0, _SHORTEST, _Queue(jobs, voice)
    while True:
        job = jobs.job(job.id)
        shown = _relay(job.id, offset, logbook, audience)
        offset += shown
        if job.state.ended:
            return job
        queued = job.state is JobState.QUEUED
        if queued:
            queue.tell(job)
        pause = _SHORTEST if shown else min(pause * 1.2, pace.seconds if queued else _LONGEST)
        audience.wait(pause)


def _relay(job: JobId, offset: int, logbook: LogBook, audience: Audience) -> int:
    start = offset
    while chunk := logbook.read(job, offset):
        audience.say(chunk)
        offset += len(chunk)
    return offset - start


class _Queue:
    """Says once for each job that comes to stand in front what is waited for."""

    def __init__(self, jobs: JobLedger, voice: Voice) -> None:
        self._jobs = jobs
        self._voice = voice
        self._since = datetime.now(UTC)
        self._told: JobId | None = None
        self._why = ""

    def tell(self, job: Job) -> None:
        ahead = self._jobs.ahead(job.id)
        if ahead and ahead[0].id != self._told:
            self._told = ahead[0].id
            self._voice.step(_waiting_for(ahead))
        waited = (datetime.now(UTC) - self._since).total_seconds()
        if not ahead and waited > _PATIENCE:
            self._tell_why(self._jobs.held_back(job.id))

    def _tell_why(self, quota: str) -> None:
        why = f"Waiting: {quota}" if quota else "Waiting for a free builder"
        if why != self._why:
            self._why = why
            self._voice.step(why)


def _waiting_for(ahead: tuple[Job, ...]) -> str:
    first = ahead[0]
    began = first.started_at or first.created_at
    if began.tzinfo is None:
        began = began.replace(tzinfo=UTC)
    seconds = max(0, round((datetime.now(UTC) - began).total_seconds()))
    state = str(first.state).replace("_", " ")
    others = f" and {len(ahead) - 1} more" if len(ahead) > 1 else ""
    return f"Waiting for build {first.id} by {first.user} ({state}, {seconds} s){others}"
