"""What can be counted of the ledger at a moment."""

from collections.abc import Mapping
from dataclasses import dataclass

from gitreceive.model.events import Outcome
from gitreceive.model.pushes import JobState


@dataclass(frozen=True)
class LedgerMeasures:
    """``events`` are those after the one that was asked from, up to ``newest_event``."""

    jobs: Mapping[JobState, int]  # that have not ended; states that none is in are left out
    oldest_queued_seconds: (
        float  # since it was asked for, by the ledger's own clock; 0 where nothing is queued
    )
    apps: int
    events: Mapping[tuple[str, Outcome], int]  # by verb and outcome
    newest_event: int
    size: int | None  # bytes that it takes where it is kept
