"""What runs by the clock: what people set for an app, and what its source declares."""

import re
from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field
from datetime import datetime
from typing import Any, Self

from gitreceive.errors import UsageError
from gitreceive.model.declared import CronTask
from gitreceive.model.documents import number, table, text
from gitreceive.model.schedules import parse_schedule

CRON_PROCESS = "cron"  # the process type that logs show
STARTING_SECONDS = 600  # for so long after its time a run that could not begin still may
USUAL_SECONDS = 24 * 3600
LONGEST_SECONDS = 7 * 24 * 3600
CONCURRENCIES = ("allow", "forbid", "replace")

_NAME = re.compile(r"[a-z0-9](?:[a-z0-9-]{0,38}[a-z0-9])?", re.ASCII)  # RFC 1123; a CronJob may have 52
_LONGEST_SLUG = 36
_LONGEST_COMMAND = 4000
_MOST = 100


@dataclass(frozen=True)
class CronEntry:
    """``command`` is a line for the shell, run at the times of ``schedule``, in UTC, for ``seconds`` at most.

    ``concurrency``, where an earlier run has not ended: allow, forbid or replace. ``declared``: by the source, in app.json.
    """

    name: str
    schedule: str
    command: str
    concurrency: str = "forbid"
    seconds: int = USUAL_SECONDS
    declared: bool = False

    @staticmethod
    def parse_name(name: str) -> str:
        """Raises UsageError unless it is a DNS label of at most 40 characters."""
        if not _NAME.fullmatch(name):
            raise UsageError(
                f"{name[:60]!r} cannot name what runs by the clock",
                hint="lower-case letters, digits and hyphens, 40 at most",
            )
        return name

    @classmethod
    def parse(cls, document: object, name: str) -> Self:
        """What ``document`` wrote. Raises UsageError."""
        where = f"cron {cls.parse_name(name)}"
        found = table(document, where, frozenset({"schedule", "command", "concurrency", "seconds"}))
        concurrency = text(found.get("concurrency", "forbid"), f"{where}: concurrency")
        if concurrency not in CONCURRENCIES:
            raise UsageError(
                f"{where}: {concurrency[:40]!r} is no concurrency", hint=f"write {', '.join(CONCURRENCIES)}"
            )
        command = text(found.get("command"), f"{where}: command", _LONGEST_COMMAND)
        if not command.strip() or "\0" in command:
            raise UsageError(f"{where}: there is no command", hint="write it behind --")
        return cls(
            name,
            parse_schedule(text(found.get("schedule"), f"{where}: schedule")),
            command,
            concurrency,
            number(found.get("seconds", USUAL_SECONDS), f"{where}: seconds", 1, LONGEST_SECONDS),
        )

    def document(self) -> dict[str, Any]:
        return {name: getattr(self, name) for name in ("schedule", "command", "concurrency", "seconds")}


@dataclass(frozen=True)
class Schedule:
    """``cron`` is by name."""

    cron: Mapping[str, CronEntry] = field(default_factory=dict)

    @classmethod
    def parse(cls, document: object) -> Self:
        """What ``document`` wrote. Raises UsageError."""
        found = table(table(document, "schedule", frozenset({"cron"})).get("cron", {}), "schedule.cron")
        if len(found) > _MOST:
            raise UsageError(f"an app has at most {_MOST} entries of cron", hint="gitreceive cron unset")
        return cls({name: CronEntry.parse(entry, name) for name, entry in found.items()})

    def document(self) -> dict[str, Any]:
        return {"cron": {name: entry.document() for name, entry in self.cron.items()}}


@dataclass(frozen=True)
class CronRun:
    """One run by the clock, as the target remembers it."""

    entry: str
    name: str  # what logs call it
    release: int
    state: str  # starting, up, ended, failed
    started: datetime
    ended: datetime | None = None
    exit_code: int | None = None
    reason: str = ""

    @property
    def over(self) -> bool:
        return self.state in {"ended", "failed"}


def all_entries(declared: Iterable[CronTask], schedule: Schedule) -> tuple[CronEntry, ...]:
    """By name. What people set comes before what is declared under the same one."""
    entries: dict[str, CronEntry] = {}
    for task in declared:
        name = _free(_slug(task.command), entries)
        entries[name] = CronEntry(name, task.schedule, task.command, task.concurrency, declared=True)
    entries |= schedule.cron
    return tuple(entries[name] for name in sorted(entries))


def _slug(command: str) -> str:
    """A name by what is run, so that it stays where others come and go: ``python-clean-py``."""
    words = "-".join(re.findall(r"[a-z0-9]+", command.lower()))
    return words[:_LONGEST_SLUG].strip("-") or "task"


def _free(name: str, taken: Iterable[str]) -> str:
    """The name, or it with the first number from 2 on that nobody has."""
    there, count, found = set(taken), 1, name
    while found in there:
        count += 1
        found = f"{name}-{count}"
    return found
