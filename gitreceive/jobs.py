"""Jobs are worked on here: claimed under a lease, renewed while they run, canceled when asked, and always ended.

The runner is made to be killed. It ends no job when the server stops: what is unfinished is handed over, claimed again after a restart, and
told from its last committed step. Where nobody could hand it over, that is done by the next server on the data folder, or the lease runs out.
"""

import logging
import threading
from collections.abc import Mapping

from gitreceive.cancellation import Cancellation
from gitreceive.deploy import deploy
from gitreceive.errors import CanceledError, GitreceiveError, LeaseLostError
from gitreceive.model import Job, JobId, JobState, Push
from gitreceive.ports import Platform
from gitreceive.room import is_full
from gitreceive.stories.chapters import Deployment, UnrecordedError, recorded
from gitreceive.voice import Voice

LEASE_SECONDS = 8.0
_HEARTBEAT_SECONDS = 1.0
_REASON_LIMIT = 200

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

    def _dispatch(self) -> None:
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
        deploy(deployment)
        platform.observer.job_ended(deployment.job, JobState.LIVE, deployment.seconds, None)
    except (LeaseLostError, UnrecordedError):
        raise
    except CanceledError as error:
        _end(deployment, JobState.CANCELED, error.message, error=error)
    except GitreceiveError as error:
        _end(deployment, JobState.FAILED, error.message, error.hint, error)
    except Exception as error:
        _logger.exception("build %s failed inside gitreceive", job.id)
        _end(deployment, JobState.FAILED, *_own_failure(error))
    if isinstance(job.cause, Push):
        _let_go(job, job.cause, platform)


def _let_go(job: Job, push: Push, platform: Platform) -> None:
    """Its commits may go. It has ended, so what stays held is let go of when the app is next collected."""
    try:
        platform.sources.release(push.repository, job.id)
    except GitreceiveError as error:
        _logger.warning("the commits of build %s are held on to: %s", job.id, error)


def _own_failure(error: Exception) -> tuple[str, str]:
    """Reason and hint."""
    if is_full(error):
        return f"the server's disk takes no more: {error}", "ask the operator to free room, then push again"
    hint = f"{error!r}; the server's log has more; trying again is safe"
    return f"gitreceive itself failed: {type(error).__name__}", hint


def _end(
    deployment: Deployment, state: JobState, reason: str, hint: str = "", error: GitreceiveError | None = None
) -> None:
    """As ``_end_now`` does."""
    recorded(lambda: _end_now(deployment, state, reason, hint, error))


def _end_now(
    deployment: Deployment, state: JobState, reason: str, hint: str = "", error: GitreceiveError | None = None
) -> None:
    """The log is whole before the ledger says that the job has ended: who sees the end can read all of it. Raises LeaseLostError where it is not
    ours to end, and says nothing in its log then.
    """
    job, platform = deployment.job, deployment.platform
    platform.ledger.renew(job.id, job.fence, LEASE_SECONDS)
    deployment.log.error(reason, hint)
    platform.logbook.close(job.id)
    line = " ".join(reason.split())[:_REASON_LIMIT]
    platform.ledger.end(job.id, job.fence, state, line, deployment.seconds)
    platform.observer.job_ended(job, state, deployment.seconds, error)
