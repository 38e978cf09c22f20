"""What processes print, as lines, and what is asked of them."""

from collections.abc import Mapping
from dataclasses import dataclass, field
from datetime import datetime
from enum import StrEnum

from gitreceive.model.pushes import JobId


class LogSource(StrEnum):
    """What printed a line."""

    APP = "app"  # a process of the app that keeps running
    BUILD = "build"  # a job: its whole log, but for the release command's output
    RELEASE = "release"  # the release command
    CRON = "cron"
    RUN = "run"  # a command that somebody ran once


FROM_CONTAINERS = frozenset({LogSource.APP, LogSource.CRON, LogSource.RUN})  # what a target is asked for


@dataclass(frozen=True)
class LogQuery:
    """``process`` is a process type or an instance. ``lines``: the last so many; None: all. ``job``: that job's log alone.

    With ``follow``, ``after`` may say of logs, by ``LogLine.log``, up to which ``LogLine.position`` they are known: what is behind it
    comes, and of a container what it printed in the tenth of a second before may come again. Jobs up to ``jobs_after`` are known.
    """

    process: str | None = None
    lines: int | None = 100
    since: datetime | None = None
    until: datetime | None = None
    follow: bool = False
    sources: frozenset[LogSource] = FROM_CONTAINERS
    job: JobId | None = None
    after: Mapping[str, int] = field(default_factory=dict)
    jobs_after: int = 0


@dataclass(frozen=True)
class LogLine:
    """``instance`` is what printed it; ``log`` names the one log that it is in, such as a container's id, and ``position`` how far
    into that it goes. ``nanoseconds`` is the whole time, since 1970.
    """

    time: datetime
    instance: str
    process: str
    text: str
    source: LogSource = LogSource.APP
    log: str = ""
    nanoseconds: int = 0
    position: int = 0
