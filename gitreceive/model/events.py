"""What happened: who did what, to which app, by which key or token, from where, and how it ended."""

from dataclasses import dataclass
from datetime import datetime
from enum import StrEnum

from gitreceive.model.names import AppName, UserName


class Outcome(StrEnum):
    DONE = "done"
    DENIED = "denied"  # they may not
    FAILED = "failed"


@dataclass(frozen=True)
class Happening:
    """What is to be recorded. ``what`` names things and people, and has no value of a config, no key and no token's secret."""

    user: UserName
    via: str
    address: str
    verb: str
    app: AppName | None = None
    what: str = ""
    outcome: Outcome = Outcome.DONE
    reason: str = ""


@dataclass(frozen=True)
class Event:
    """What was recorded. ``id`` grows with time."""

    id: int
    at: datetime
    happening: Happening


@dataclass(frozen=True)
class EventQuery:
    """``since_seconds``: only what is younger. ``limit``: the newest so many."""

    app: AppName | None = None
    user: UserName | None = None
    since_seconds: float | None = None
    limit: int = 50
