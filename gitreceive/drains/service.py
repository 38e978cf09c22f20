"""The drains of all apps, as long as the server lives."""

import logging
import shutil
import threading
from collections.abc import Callable, Iterable
from contextlib import suppress
from dataclasses import dataclass
from datetime import timedelta
from pathlib import Path

from gitreceive.applogs import AppLogs
from gitreceive.drains.positions import Positions, read_positions
from gitreceive.drains.receiving import Receiver
from gitreceive.drains.sending import Pace, Sender
from gitreceive.drains.spool import Spool
from gitreceive.drains.status import DrainStatus, drains_folder, read_status, status_path, write_status
from gitreceive.drains.tap import Tap
from gitreceive.errors import GitreceiveError, NotFoundError
from gitreceive.model import App, AppName, Drain
from gitreceive.ports import Ledger, LogBook, Target

_log = logging.getLogger(__name__)

_LOOK_SECONDS = 2.0
_MOMENT = timedelta(seconds=1)


@dataclass(frozen=True)
class _Running:
    drain: Drain
    spool: Spool
    sender: Sender


class DrainService:
    """From ``start`` to ``stop``. Which drains there are is looked up in the ledger again and again, as other processes change that."""

    def __init__(
        self,
        data_dir: Path,
        target: Target,
        ledger: Ledger,
        logbook: LogBook,
        receiver: Callable[[Drain], Receiver],
        spool_bytes: int,
        pace: Pace | None = None,
    ) -> None:
        """``receiver`` may raise GitreceiveError: such a drain does not begin, and its status says why."""
        self._data_dir = data_dir
        self._target = target
        self._ledger = ledger
        self._logbook = logbook
        self._receiver = receiver
        self._spool_bytes = spool_bytes
        self._pace = pace or Pace()
        self._stopping = threading.Event()
        self._running: dict[int, _Running] = {}
        self._taps: dict[AppName, Tap] = {}
        self._thread = threading.Thread(target=self._keep, name="drains", daemon=True)

    def start(self) -> None:
        self._thread.start()

    def stop(self) -> None:
        """What was read is on the disk; what was not delivered is, after the next start."""
        self._stopping.set()
        self._thread.join(timeout=10)
        for tap in self._taps.values():
            tap.end()
        for running in self._running.values():
            running.sender.end()
        for tap in self._taps.values():
            tap.stop()
        for running in self._running.values():
            running.sender.stop()
            running.spool.close()

    def _keep(self) -> None:
        said = ""
        while not self._stopping.is_set():
            try:
                self._look()
                said = ""
            except GitreceiveError as error:
                if error.message != said:
                    _log.warning("log drains: %s", error.message)
                said = error.message
            except Exception:  # noqa: BLE001 - logged, and the next look comes
                _log.exception("log drains have a fault; they are looked at again")
            self._stopping.wait(min(_LOOK_SECONDS, self._pace.pause * 2))

    def _look(self) -> None:
        there = {drain.id: drain for drain in self._ledger.drains()}
        for gone in self._running.keys() - there.keys():
            self._end(self._running.pop(gone))
        for drain in there.values():
            if drain.id not in self._running:
                self._begin(drain)
        apps = {running.drain.app for running in self._running.values()}
        for app in [app for app, tap in self._taps.items() if app not in apps or not tap.alive]:
            self._taps.pop(app).stop()
            if app not in apps:
                self._positions_path(app).unlink(missing_ok=True)
        for app in apps - self._taps.keys():
            self._open_tap(app)
        self._clear_up(there)

    def _begin(self, drain: Drain) -> None:
        try:
            receiver = self._receiver(drain)
        except GitreceiveError as error:
            self._tell(drain.id, DrainStatus(state="retrying", error=error.message))
            return
        spool = Spool(self._folder(drain.id), self._spool_bytes)
        sender = Sender(drain.app, spool, receiver, lambda status: self._tell(drain.id, status), self._pace)
        self._running[drain.id] = _Running(drain, spool, sender)
        sender.start(read_status(self._data_dir, drain.id))

    def _end(self, running: _Running) -> None:
        running.sender.stop()
        running.spool.remove()

    def _open_tap(self, app: AppName) -> None:
        try:
            found = self._ledger.app(app)
        except NotFoundError:
            return  # destroyed just now
        path = self._positions_path(app)
        positions = read_positions(path)
        if (
            positions is None or positions.since < found.created_at
        ):  # none, or those of another app of that name
            positions = self._beginning(found)
        logs = AppLogs(found, self._target, self._ledger, self._logbook)
        self._taps[app] = Tap(logs, positions, path, lambda: self._spools(app))
        self._taps[app].start()

    def _beginning(self, app: App) -> Positions:
        """From when the first drain was added; the build that is under way, from its first line."""
        first = min(drain.created_at for drain in self._ledger.drains(app.name))
        ended = [job.id for job in self._ledger.jobs(app.name) if job.ended_at and job.ended_at < first]
        return Positions(max(app.created_at, first - _MOMENT), max(ended, default=0))

    def _spools(self, app: AppName) -> list[Spool]:
        return [one.spool for one in list(self._running.values()) if one.drain.app == app]

    def _clear_up(self, there: Iterable[int]) -> None:
        """What drains left that were removed while no server ran."""
        known = {str(number) for number in there}
        with suppress(OSError):
            for path in drains_folder(self._data_dir).iterdir():
                if path.name.partition(".")[0].isdigit() and path.name.partition(".")[0] not in known:
                    shutil.rmtree(path) if path.is_dir() else path.unlink(missing_ok=True)

    def _tell(self, drain: int, status: DrainStatus) -> None:
        try:
            status_path(self._data_dir, drain).parent.mkdir(parents=True, exist_ok=True, mode=0o700)
            write_status(self._data_dir, drain, status)
        except OSError as error:
            _log.warning("the state of log drain %s cannot be kept: %s", drain, error)

    def _folder(self, drain: int) -> Path:
        return drains_folder(self._data_dir) / str(drain)

    def _positions_path(self, app: AppName) -> Path:
        return drains_folder(self._data_dir) / f"app-{app}.json"
