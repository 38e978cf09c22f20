"""What is counted as it happens. A restart begins at nothing, as Prometheus expects of a counter."""

from collections.abc import Mapping

from prometheus_client import CollectorRegistry, Counter, Histogram

from gitreceive.errors import GitreceiveError
from gitreceive.model import AppName, Job, JobState
from gitreceive.ports.observing import kind_of

_RECEIVING = (0.05, 0.1, 0.25, 0.5, 1.0, 2.5, 5.0, 10.0, 30.0, 60.0, 300.0)
_WORKING = (0.5, 1.0, 2.5, 5.0, 10.0, 20.0, 40.0, 60.0, 120.0, 300.0, 600.0, 1800.0)

_OWN_ERRORS = (
    "internal",
    "unavailable",
    "registry",
    "rollout",
)  # which are no fault of what was pushed, or need not be


class Counting:
    """The port ``Observer``. Label ``app`` is empty, which is to have none, unless apps are to be told of by name."""

    def __init__(self, registry: CollectorRegistry, *, by_app: bool) -> None:
        self._by_app = by_app
        self._accepted = Counter(
            "gitreceive_pushes_accepted", "Pushes that a build was made of.", ["app"], registry=registry
        )
        self._refused = Counter(
            "gitreceive_pushes_refused",
            "Pushes, or refs of one, that were refused, by the kind of the refusal.",
            ["reason", "app"],
            registry=registry,
        )
        self._received = Histogram(
            "gitreceive_receive_seconds",
            "From a client being let in to its push having come whole.",
            buckets=_RECEIVING,
            registry=registry,
        )
        self._ended = Counter(
            "gitreceive_jobs_ended",
            "Jobs that ended, by what they were of and how they ended.",
            ["kind", "state", "app"],
            registry=registry,
        )
        self._errors = Counter(
            "gitreceive_job_errors",
            "Jobs that failed, by the step they failed in, which is an engine's, and by the class of the error.",
            ["step", "error"],
            registry=registry,
        )
        self._phases = Histogram(
            "gitreceive_job_phase_seconds",
            "How long a phase of a job took.",
            ["phase"],
            buckets=_WORKING,
            registry=registry,
        )
        self._waited = Histogram(
            "gitreceive_job_wait_seconds",
            "From a job being asked for to its first step.",
            buckets=_WORKING,
            registry=registry,
        )
        self._begin()

    def _begin(self) -> None:
        """A counter that appears with its first count has not grown, as Prometheus sees it: what alerts look at is there from the start."""
        for phase in ("build", "publish", "roll_out"):
            self._phases.labels(phase)
        for state in JobState:
            if state.ended:
                self._ended.labels("push", state.value, "")
            else:
                for error in _OWN_ERRORS:
                    self._errors.labels(state.value, error)
        self._accepted.labels("")
        self._refused.labels("rule", "")

    def push_accepted(self, app: AppName) -> None:
        self._accepted.labels(self._app(app)).inc()

    def push_refused(self, reason: str, app: AppName | None) -> None:
        self._refused.labels(reason, self._app(app)).inc()

    def push_received(self, seconds: float) -> None:
        self._received.observe(seconds)

    def job_ended(
        self, job: Job, state: JobState, seconds: Mapping[str, float], error: GitreceiveError | None
    ) -> None:
        self._ended.labels(job.cause.kind, state.value, self._app(job.app)).inc()
        if error is not None and state is JobState.FAILED:
            self._errors.labels(job.state.value, kind_of(error)).inc()
        for phase, taken in seconds.items():
            self._phases.labels(phase.replace(" ", "_")).observe(taken)
        if job.started_at and job.fence == 1:  # of one that was taken over, the first wait has been told
            self._waited.observe(max(0.0, (job.started_at - job.created_at).total_seconds()))

    def _app(self, app: AppName | None) -> str:
        return str(app) if app and self._by_app else ""
