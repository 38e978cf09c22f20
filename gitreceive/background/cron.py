"""The clock of the server, for targets that have none: it starts what is due, ends what takes too long, and forgets old runs.

What it has seen to is in a file for each app, so that after a restart a run that was missed is made up for, once, where it is not too late.
"""

import json
import logging
from collections.abc import Iterable, Mapping
from dataclasses import dataclass, replace
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

from cronsim import CronSim, CronSimError

from gitreceive.acting import SERVER
from gitreceive.cancellation import Cancellation
from gitreceive.errors import GitreceiveError, UnavailableError
from gitreceive.model import (
    CRON_PROCESS,
    STARTING_SECONDS,
    AppName,
    CronEntry,
    CronRun,
    Happening,
    OneOff,
    Outcome,
    Release,
    five_fields,
    script_process,
)
from gitreceive.ports import Ledger, Log, Target

KEPT_RUNS = 10  # of each entry, for its history and its logs

_logger = logging.getLogger(__name__)


def next_due(schedule: str, after: datetime) -> datetime | None:
    """The first time of a parsed schedule behind ``after``, in UTC; None where there is none, such as February 30."""
    try:
        return next(CronSim(five_fields(schedule), after.astimezone(UTC)), None)
    except CronSimError:
        return None


def last_due(schedule: str, after: datetime, until: datetime) -> datetime | None:
    """The last time of a parsed schedule behind ``after`` and not behind ``until``, in UTC; None where there is none."""
    end = until.astimezone(UTC).replace(microsecond=1)  # with it, the second itself counts
    try:
        found = next(CronSim(five_fields(schedule), end, reverse=True), None)
    except CronSimError:
        return None
    return found if found and found > after else None


@dataclass(frozen=True)
class _Mark:
    """Up to when an entry has been seen to. None: it is suspended, and begins anew."""

    schedule: str
    seen: datetime | None


class Clock:
    """``tick`` is called every second or so, by one server at a time on a data folder."""

    def __init__(self, data_dir: Path, ledger: Ledger, target: Target, log: Log) -> None:
        self._folder = data_dir / "cron"
        self._ledger, self._target, self._log = ledger, target, log
        self._looked: datetime | None = None

    def tick(self, now: datetime) -> None:
        """Once a minute, look at all apps. What fails with one is in the server's log, and is tried again a minute later."""
        before = self._looked or now
        if self._looked and now.replace(second=0, microsecond=0) <= before:
            return
        self._looked = now
        apps = [app.name for app in self._ledger.apps()]
        for app in apps:
            try:
                self._see_to(app, before, now)
            except GitreceiveError as error:
                _logger.error("cron of %s: %s", app, error)
        for path in self._folder.glob("*.json"):
            if path.stem not in apps:
                self._clear_up(AppName.parse(path.stem))

    def _clear_up(self, app: AppName) -> None:
        """It is gone. A run may have begun while it was being removed."""
        for run in self._target.cron_runs(app):
            self._target.remove_one_off(app, run.name)
        (self._folder / f"{app}.json").unlink(missing_ok=True)

    def _see_to(self, app: AppName, before: datetime, now: datetime) -> None:
        release = self._ledger.current_release(app)
        entries = {entry.name: entry for entry in release.cron} if release else {}
        marks = self._read(app)
        if release is None or not (entries or marks):
            return
        runs = self._tidied(app, entries, now)
        kept: dict[str, _Mark] = {}
        for name, entry in entries.items():
            mark = _begun(entry, marks.get(name), before)
            if release.settings.formation.stopped:
                kept[name] = replace(mark, seen=None)
                continue
            kept[name] = mark
            self._write(app, {**marks, **kept})  # a first time is kept before anything is tried
            own = [run for run in runs if run.entry == name]
            try:
                kept[name] = self._look(release, entry, mark, own, now)
            except GitreceiveError as error:
                _logger.error("cron %s of %s: %s", name, app, error)
        self._write(app, kept)

    def _look(
        self, release: Release, entry: CronEntry, mark: _Mark, runs: Iterable[CronRun], now: datetime
    ) -> _Mark:
        """Start what is due; what has been seen to then."""
        due = last_due(entry.schedule, mark.seen or now, now)
        if due is None:
            return mark
        name = f"{entry.name}-{int(due.timestamp()) // 60}"
        if any(run.name == name for run in runs):  # by a server that was killed before it could note it
            return replace(mark, seen=due)
        running = [run for run in runs if not run.over]
        if now - due > timedelta(seconds=STARTING_SECONDS):
            why = "an earlier run had not ended" if running else "nobody was there to start it"
            self._note(release.app, entry, due, why)
            return replace(mark, seen=due)
        if running and entry.concurrency == "forbid":
            return mark  # it may begin when that has ended
        if entry.concurrency == "replace":
            for run in running:
                self._target.end_one_off(release.app, run.name)
        self._start(release, entry, name)
        return replace(mark, seen=due)

    def _start(self, release: Release, entry: CronEntry, name: str) -> None:
        asked = OneOff(
            name=name,
            command=script_process(release.image, CRON_PROCESS, entry.command).command,
            line=entry.command,
            user=release.user,
            seconds=entry.seconds,
            kept=False,
            entry=entry.name,
        )
        self._target.detach(release, asked, self._log, Cancellation())

    def _note(self, app: AppName, entry: CronEntry, due: datetime, why: str) -> None:
        what = f"{entry.name}, due {due:%Y-%m-%d %H:%M} UTC"
        self._ledger.record(Happening(SERVER.user, "", "", "cron", app, what, Outcome.FAILED, why))
        _logger.warning("cron %s of %s was not run: %s", what, app, why)

    def _tidied(self, app: AppName, entries: Mapping[str, CronEntry], now: datetime) -> list[CronRun]:
        """The runs that there still are, once those are gone that are no longer kept, and ended whose time is up."""
        left, ended = [], dict.fromkeys(entries, 0)
        for run in reversed(self._target.cron_runs(app)):
            if run.over and run.entry in ended:
                ended[run.entry] += 1
            # what has not begun by now was made by a server that was killed
            half_made = run.state == "starting"
            if run.entry not in entries or half_made or ended[run.entry] > KEPT_RUNS:
                self._target.remove_one_off(app, run.name)
                continue
            if not run.over and (now - run.started).total_seconds() > entries[run.entry].seconds:
                self._target.end_one_off(app, run.name)
            left.append(run)
        return left[::-1]

    def _read(self, app: AppName) -> dict[str, _Mark]:
        path = self._folder / f"{app}.json"
        try:
            found = json.loads(path.read_text("utf-8"))
            return {name: _parsed(mark) for name, mark in found.items()}
        except FileNotFoundError:
            return {}
        except (OSError, ValueError, KeyError, TypeError, AttributeError):
            _logger.warning("%s cannot be read: what was due while no server ran is not made up for", path)
            return {}

    def _write(self, app: AppName, marks: Mapping[str, _Mark]) -> None:
        """Nothing, where it is there already."""
        path, draft = self._folder / f"{app}.json", self._folder / f".{app}"
        if marks == self._read(app):
            return
        document = {
            name: {"schedule": mark.schedule, "seen": mark.seen.isoformat() if mark.seen else None}
            for name, mark in marks.items()
        }
        try:
            self._folder.mkdir(parents=True, exist_ok=True, mode=0o700)
            draft.write_text(json.dumps(document), "utf-8")
            draft.replace(path)
        except OSError as error:
            raise UnavailableError(f"{path} cannot be written: {error.strerror}") from error


def _begun(entry: CronEntry, mark: _Mark | None, before: datetime) -> _Mark:
    """An entry that is new, has another schedule, or was suspended begins with the last look: what was due earlier is not its."""
    if mark is None or mark.schedule != entry.schedule or mark.seen is None:
        return _Mark(entry.schedule, before)
    return mark


def _parsed(mark: Mapping[str, Any]) -> _Mark:
    seen = mark["seen"]
    return _Mark(str(mark["schedule"]), datetime.fromisoformat(seen) if seen is not None else None)
