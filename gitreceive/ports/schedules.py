"""What runs by the clock."""

from typing import Protocol

from gitreceive.model import AppName, CronRun


class Schedules(Protocol):
    """A target is given the entries of an app with each release (``Release.cron``)."""

    @property
    def has_clock(self) -> bool:
        """It starts what is due by itself, and forgets old runs. Without one, the server does, by ``detach`` of a OneOff with an entry."""

    def cron_runs(self, app: AppName) -> tuple[CronRun, ...]:
        """Those under way and those that are kept, oldest first. Raises UnavailableError, RolloutError."""
