"""Who is told what happens, to count it. Nothing that is told may fail or wait by it."""

from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass
from typing import Protocol

from gitreceive.errors import GitreceiveError
from gitreceive.model import AppName, Job, JobState
from gitreceive.ports.ledger import MeasuredLedger


class Observer(Protocol):
    """Thread-safe. Raises nothing."""

    def push_accepted(self, app: AppName) -> None:
        """A job has been made of it."""

    def push_refused(self, reason: str, app: AppName | None) -> None:
        """``reason``: the kind of its refusal, one of few. ``app`` None where no such app is known."""

    def push_received(self, seconds: float) -> None:
        """All of a push has come, ``seconds`` after its client was let in."""

    def job_ended(
        self, job: Job, state: JobState, seconds: Mapping[str, float], error: GitreceiveError | None
    ) -> None:
        """``job`` as it was before its end, in the step that it ended in; ``seconds`` by phase. ``error``: why, unless it is live."""


@dataclass(frozen=True)
class Reading:
    """A gauge that is read when it is asked for. ``label`` is the name of its one label, empty for none; then the value's key is empty, too.
    ``read`` may raise GitreceiveError and OSError: then it is left out this time.
    """

    name: str
    doc: str
    read: Callable[[], Mapping[str, float]]
    label: str = ""


class Metrics(Protocol):
    """What a monitoring system is told."""

    @property
    def observer(self) -> Observer:
        """To be told what happens."""

    def watch(self, ledger: MeasuredLedger, readings: Iterable[Reading]) -> None:
        """Ask these too, each time. Called once."""

    def exposition(self) -> tuple[bytes, str]:
        """All of it in Prometheus' text format, and its media type. Blocks for as long as what it asks takes; what does not answer is left out."""


class Unobserved:
    """Nobody counts."""

    def push_accepted(self, app: AppName) -> None: ...

    def push_refused(self, reason: str, app: AppName | None) -> None: ...

    def push_received(self, seconds: float) -> None: ...

    def job_ended(
        self, job: Job, state: JobState, seconds: Mapping[str, float], error: GitreceiveError | None
    ) -> None: ...


def kind_of(error: GitreceiveError) -> str:
    """A word for the class of an error, of ``errors.py``'s tree: ``policy``, ``registry``, ``internal``."""
    return type(error).__name__.removesuffix("Error").lower()
