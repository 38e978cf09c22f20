"""Jobs are worked on here: claimed under a lease, renewed while they run, canceled when asked, and always ended.

The runner is made to be killed. It ends no job when the server stops: what is unfinished is claimed again after a restart, as
soon as its lease has run out, and told from its last committed step.
"""

import logging
import threading
import time
from collections.abc import Mapping

from gitreceive.cancellation import Cancellation
from gitreceive.deploy import deploy
from gitreceive.errors import CanceledError, GitreceiveError, LeaseLostError, UnavailableError
from gitreceive.model import Job, JobId, JobState, Push
from gitreceive.ports import Platform
from gitreceive.room import is_full
from gitreceive.stories.chapters import Deployment
from gitreceive.voice import Voice

LEASE_SECONDS = 8.0
_HEARTBEAT_SECONDS = 1.0
_REASON_LIMIT = 200
_ENDINGS, _ENDING_PAUSE = 5, 1.0

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

    def start(self) -> None:
        for work in (self._dispatch, self._beat):
            threading.Thread(target=work, name=f"jobs{work.__name__}", daemon=True).start()

    def stop(self) -> None:
        """Take no more jobs. Those under way are left to the process's end and taken up again after a restart."""
        self._stopping.set()
        self._wake.set()

    def wake(self) -> None:
        """There may be a job to claim."""
        self._wake.set()

    def _dispatch(self) -> None:
        while not self._stopping.is_set():
            self._slots.acquire()
            job = self._claim()
            if job is None:
                self._slots.release()
                self._wake.wait(_HEARTBEAT_SECONDS)
                self._wake.clear()
                continue
            cancel = Cancellation()
            with self._lock:
                self._running[job.id] = (job.fence, cancel)
            threading.Thread(target=self._work, args=(job, cancel), name=f"job-{job.id}", daemon=True).start()

    def _claim(self) -> Job | None:
        try:
            return self._platform.ledger.claim(self._holder, LEASE_SECONDS)
        except GitreceiveError as error:
            _logger.error("no job could be claimed: %s", error)
            return None

    def _work(self, job: Job, cancel: Cancellation) -> None:
        try:
            work(job, self._platform, cancel)
        except LeaseLostError:
            _logger.warning("build %s was taken over by another server", job.id)
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
        deploy(deployment)
    except LeaseLostError:
        raise
    except CanceledError as error:
        _conclude(deployment, JobState.CANCELED, GitreceiveError(error.message))
    except GitreceiveError as error:
        _conclude(deployment, JobState.FAILED, error)
    except Exception as error:
        _logger.exception("build %s failed inside gitreceive", job.id)
        _conclude(deployment, JobState.FAILED, *_own_failure(error))
    platform.logbook.close(job.id)
    if isinstance(job.cause, Push):
        platform.sources.release(job.cause.repository, job.id)


def _own_failure(error: Exception) -> tuple[GitreceiveError, str]:
    """What the log says, and the reason on record."""
    if is_full(error):
        full = f"the server's disk takes no more: {error}"
        return UnavailableError(full, hint="ask the operator to free room, then push again"), full
    said = GitreceiveError(
        f"gitreceive itself failed: {error!r}", hint="the server's log has more; trying again is safe"
    )
    return said, f"gitreceive itself failed: {type(error).__name__}"


def _conclude(deployment: Deployment, state: JobState, error: GitreceiveError, reason: str = "") -> None:
    """Say why, and end it. A disk that was full has room within moments, by what is held back for this (``room.Reserve``)."""
    for left in reversed(range(_ENDINGS)):
        try:
            deployment.log.error(error.message, error.hint)
            _end(deployment, state, reason or error.message)
        except UnavailableError:
            if not left:
                raise
        else:
            return
        time.sleep(_ENDING_PAUSE)


def _end(deployment: Deployment, state: JobState, reason: str) -> None:
    """The log is whole before the ledger says that the job has ended: who sees the end can read all of it."""
    job, platform = deployment.job, deployment.platform
    platform.logbook.close(job.id)
    line = " ".join(reason.split())[:_REASON_LIMIT]
    platform.ledger.end(job.id, job.fence, state, line, deployment.seconds)
