"""Jobs are worked on here: claimed under a lease, renewed while they run, canceled when asked, and always ended.

The runner is made to be killed. It ends no job when the server stops: what is unfinished is handed over, claimed again after a restart, and
told from its last committed step. Where nobody could hand it over, that is done by the next server on the data folder, or the lease runs out.

Where not the server but the engine that a job stands on goes away, the job waits for it and is told again in the same way, a few times.
"""

import logging
import threading
import time
from collections.abc import Mapping
from itertools import islice

from gitreceive.cancellation import Cancellation
from gitreceive.deploy import deploy
from gitreceive.errors import (
    CanceledError,
    EngineAwayError,
    GitreceiveError,
    InternalError,
    LeaseLostError,
    UnavailableError,
)
from gitreceive.model import Job, JobId, JobState, Push
from gitreceive.ports import Platform
from gitreceive.room import is_full
from gitreceive.stories.chapters import Deployment, UnrecordedError, recorded
from gitreceive.voice import Voice

LEASE_SECONDS = 8.0
_HEARTBEAT_SECONDS = 1.0
_REASON_LIMIT = 200
_TELLINGS = 3  # of one job by one server, where the engine goes away
_AWAY_SECONDS, _AWAY_PAUSE = 300.0, 0.5


_logger = logging.getLogger(__name__)


class JobRunner:
    """Works on up to ``concurrency`` jobs at once, each in its own thread. ``holder`` must be new for each start of a server."""

    def __init__(self, platform: Platform, concurrency: int, holder: str) -> None:
        self._platform = platform
        self._holder = holder
        self._slots = threading.Semaphore(concurrency)
        self._wake = threading.Event()
        self._stopping = threading.Event()
        self._running: dict[JobId, tuple[int, Cancellation]] = {}
        self._lock = threading.Lock()
        self._swept = False

    def start(self) -> None:
        """What the builds of a killed server left goes before the first job is claimed. Where the engine is away, jobs wait for it.

        Raises any other GitreceiveError that keeps it from going.
        """
        self._swept = self._sweep()
        for work in (self._dispatch, self._beat):
            threading.Thread(target=work, name=f"jobs{work.__name__}", daemon=True).start()

    def stop(self) -> None:
        """Take no more jobs, and hand over those under way: nothing that is still done here is recorded, least of all that they failed
        because all around them is being closed.
        """
        with self._lock:
            self._stopping.set()
        self._wake.set()
        try:
            self._platform.ledger.hand_over(self._holder)
        except GitreceiveError as error:
            _logger.error(
                "jobs could not be handed over; they go on once their leases have run out: %s", error
            )

    def wake(self) -> None:
        """There may be a job to claim."""
        self._wake.set()

    def _sweep(self) -> bool:
        try:
            self._platform.builder.sweep()
        except EngineAwayError as error:
            _logger.warning("%s; no build begins before it is there", error.message)
            return False
        return True

    def _await_engine(self) -> None:
        while not self._swept and not self._stopping.wait(_HEARTBEAT_SECONDS):
            try:
                self._swept = self._sweep()
            except GitreceiveError as error:
                _logger.error("what is left of builds could not be removed: %s", error)

    def _dispatch(self) -> None:
        self._await_engine()
        while not self._stopping.is_set():
            self._slots.acquire()
            claimed = self._claim()
            if claimed is None:
                self._slots.release()
                self._wake.wait(_HEARTBEAT_SECONDS)
                self._wake.clear()
                continue
            job, cancel = claimed
            threading.Thread(target=self._work, args=(job, cancel), name=f"job-{job.id}", daemon=True).start()

    def _claim(self) -> tuple[Job, Cancellation] | None:
        """Under the lock, so that none is claimed after all were handed over."""
        with self._lock:
            if self._stopping.is_set():
                return None
            try:
                job = self._platform.ledger.claim(self._holder, LEASE_SECONDS)
            except GitreceiveError as error:
                _logger.error("no job could be claimed: %s", error)
                return None
            if job is None:
                return None
            cancel = Cancellation()
            self._running[job.id] = (job.fence, cancel)
            return job, cancel

    def _work(self, job: Job, cancel: Cancellation) -> None:
        try:
            work(job, self._platform, cancel)
        except LeaseLostError:
            _logger.warning("build %s is another server's by now", job.id)
        except UnrecordedError as error:
            _logger.error(
                "build %s is live, which cannot be recorded; that is tried again: %s", job.id, error
            )
        except Exception:
            _logger.exception("build %s could not be ended; it will be taken up again", job.id)
        finally:
            with self._lock:
                self._running.pop(job.id, None)
            self._slots.release()
            self._wake.set()

    def _beat(self) -> None:
        while not self._stopping.wait(_HEARTBEAT_SECONDS):
            with self._lock:
                running = dict(self._running)
            self._renew(running)

    def _renew(self, running: Mapping[JobId, tuple[int, Cancellation]]) -> None:
        for job_id, (fence, cancel) in running.items():
            try:
                job = self._platform.ledger.renew(job_id, fence, LEASE_SECONDS)
            except LeaseLostError:
                cancel.request("another server has taken it over")
            except GitreceiveError as error:
                _logger.error("the lease of build %s could not be renewed: %s", job_id, error)
            else:
                if job.cancel_requested_by is not None:
                    cancel.request(f"canceled by {job.cancel_requested_by}")


def work(job: Job, platform: Platform, cancel: Cancellation) -> None:
    """Deploy one claimed job and end it, whatever happens. Raises LeaseLostError when it is no longer ours to end."""
    log = Voice(lambda chunk: platform.logbook.append(job.id, chunk))
    if job.state is not JobState.QUEUED:
        log.step(f"The server was restarted; build {job.id} goes on from {job.state.replace('_', ' ')!r}")
    deployment = Deployment(job, platform, log, cancel)
    try:
        _tell(deployment)
        platform.observer.job_ended(deployment.job, JobState.LIVE, deployment.seconds, None)
    except (LeaseLostError, UnrecordedError):
        raise
    except CanceledError as error:
        _end(deployment, JobState.CANCELED, error)
    except GitreceiveError as error:
        _end(deployment, JobState.FAILED, error)
    except Exception as error:
        _logger.exception("build %s failed inside gitreceive", job.id)
        _end(deployment, JobState.FAILED, _own_failure(error))
    if isinstance(job.cause, Push):
        _let_go(job, job.cause, platform)


def _let_go(job: Job, push: Push, platform: Platform) -> None:
    """Its commits may go. It has ended, so what stays held is let go of when the app is next collected."""
    try:
        platform.sources.release(push.repository, job.id)
    except GitreceiveError as error:
        _logger.warning("the commits of build %s are held on to: %s", job.id, error)


def _tell(deployment: Deployment) -> None:
    """The story; where the engine goes away in the middle of it, once more from its last committed step when it is back."""
    for left in reversed(range(_TELLINGS)):
        try:
            deploy(deployment)
        except EngineAwayError as error:
            if not left:
                raise
            _await_engine(deployment, error)
        else:
            return


def _await_engine(deployment: Deployment, away: EngineAwayError) -> None:
    """Raises it again where the engine has not come back in time, CanceledError."""
    job, log, cancel = deployment.job, deployment.log, deployment.cancel
    log.warn(f"{away.message}; waiting for it, at most {_AWAY_SECONDS / 60:.0f} minutes")
    until = time.monotonic() + _AWAY_SECONDS
    while not _engine_answers(deployment.platform):
        if time.monotonic() > until:
            raise away
        cancel.wait(_AWAY_PAUSE)
    again = "; a command that had begun begins again" if job.state is JobState.RELEASING else ""
    log.step(f"It is back; build {job.id} goes on from {job.state.replace('_', ' ')!r}{again}")


def _engine_answers(platform: Platform) -> bool:
    """Whether both that a job may have missed do, which is the first finding of each."""
    try:
        return all(
            check.ok for part in (platform.builder, platform.target) for check in islice(part.check(), 1)
        )
    except UnavailableError:
        return False


def _own_failure(error: Exception) -> GitreceiveError:
    """What nobody has foreseen, for who pushed."""
    if is_full(error):
        return UnavailableError(
            f"the server's disk takes no more: {error}", hint="ask the operator to free room, then push again"
        )
    return InternalError(
        f"gitreceive itself failed: {type(error).__name__}",
        hint=f"{error!r}; the server's log has more; trying again is safe",
    )


def _end(deployment: Deployment, state: JobState, error: GitreceiveError) -> None:
    """As ``_end_now`` does."""
    recorded(lambda: _end_now(deployment, state, error))


def _end_now(deployment: Deployment, state: JobState, error: GitreceiveError) -> None:
    """The log is whole before the ledger says that the job has ended: who sees the end can read all of it. Raises LeaseLostError where it is not
    ours to end, and says nothing in its log then.
    """
    job, platform = deployment.job, deployment.platform
    platform.ledger.renew(job.id, job.fence, LEASE_SECONDS)
    deployment.log.error(error.message, error.hint)
    platform.logbook.close(job.id)
    line = " ".join(error.message.split())[:_REASON_LIMIT]
    platform.ledger.end(job.id, job.fence, state, line, deployment.seconds)
    platform.observer.job_ended(job, state, deployment.seconds, error)
