"""A release, and what its instances say of themselves."""

from collections.abc import Mapping
from dataclasses import dataclass, field
from datetime import datetime
from typing import Self

from gitreceive.model.builds import Image, ProcessType
from gitreceive.model.cron import CronEntry, all_entries
from gitreceive.model.declared import CheckKind, Declared, HealthCheck
from gitreceive.model.names import AppName, CommitId, Secret, UserName
from gitreceive.model.settings import AppSettings


@dataclass(frozen=True)
class Release:
    """vN of an app. Immutable, numbered without gaps.

    Of its ``settings``, ``runtime`` is the release's own; all else is the app's as it is now, which whatever runs the release goes by.
    """

    app: AppName
    number: int
    image: Image
    commit: CommitId
    config: Mapping[str, Secret]
    user: UserName
    description: str
    created_at: datetime
    settings: AppSettings = field(default_factory=AppSettings)
    kept: bool = True  # False: its image and its config are no longer kept, only that it was
    declared: Declared = field(default_factory=Declared)

    @property
    def label(self) -> str:
        return f"v{self.number}"

    @property
    def title(self) -> str:
        """For those who look at several apps."""
        return f"{self.app} {self.label}"

    def replicas(self, process: str) -> int:
        return self.settings.formation.replicas(process)

    def checks(self, process: str) -> Mapping[CheckKind, HealthCheck]:
        """By when they are asked: what people set, else what the source declares."""
        declared = self.declared.health.get(process, ())
        return {check.kind: check for check in (*declared, *self.settings.runtime.health.get(process, ()))}

    @property
    def cron(self) -> tuple[CronEntry, ...]:
        """What runs by the clock, by name: what people set, else what the source declares."""
        return all_entries(self.declared.cron, self.settings.schedule)

    @property
    def startup_seconds(self) -> int:
        """How long the slowest of its processes may take to start, beyond what every process may."""
        checks = (self.checks(process.name).get(CheckKind.STARTUP) for process in self.services)
        return max((c.initial_delay + c.attempts * c.wait for c in checks if c), default=0)

    @property
    def answers(self) -> bool:
        """Somebody who comes to its address is answered: by ``web``, or by the page of maintenance."""
        web = any(process.name == WEB_PROCESS for process in self.services)
        return web and (self.settings.maintenance.on or self.replicas(WEB_PROCESS) > 0)

    @property
    def services(self) -> tuple[ProcessType, ...]:
        """The process types that keep running: all but ``release``, which runs once before the roll-out."""
        return tuple(process for process in self.image.processes if process.name != RELEASE_PROCESS)


@dataclass(frozen=True)
class Changes:
    """The names of what is in one mapping only, or in both with another value. Sorted; the values are not kept."""

    added: tuple[str, ...]
    removed: tuple[str, ...]
    changed: tuple[str, ...]

    @classmethod
    def between(cls, old: Mapping[str, object], new: Mapping[str, object]) -> Self:
        return cls(
            added=tuple(sorted(new.keys() - old.keys())),
            removed=tuple(sorted(old.keys() - new.keys())),
            changed=tuple(sorted(name for name in old.keys() & new.keys() if old[name] != new[name])),
        )


RELEASE_PROCESS = "release"
PREDEPLOY_PROCESS, POSTDEPLOY_PROCESS, PREDESTROY_PROCESS = "predeploy", "postdeploy", "predestroy"
# of these, one that a killed server left is ended before the next begins: two migrations at once must not be
ONE_AT_A_TIME = frozenset({RELEASE_PROCESS, PREDEPLOY_PROCESS, POSTDEPLOY_PROCESS, PREDESTROY_PROCESS})
WEB_PROCESS = "web"


@dataclass(frozen=True)
class ProcessStatus:
    """One running (or failing) instance, in words."""

    process: str
    instance: str
    release: int
    state: str  # starting, up, crashed, stopping, waiting
    ready: bool
    restarts: int
    age_seconds: float
    reason: str = ""
    last_exit: str = ""  # of the process before it in the same place, in words


@dataclass(frozen=True)
class Check:
    """One finding of ``doctor``: what was looked at, what was seen, and the remedy where it failed."""

    name: str
    ok: bool
    seen: str
    fix: str = ""
