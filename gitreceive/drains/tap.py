"""From an app's logs into the spools of its drains."""

import logging
import queue
import threading
import time
from collections.abc import Callable, Sequence
from contextlib import closing
from pathlib import Path

from gitreceive.applogs import AppLogs, Following
from gitreceive.drains.positions import Positions
from gitreceive.drains.receiving import entry, packed
from gitreceive.drains.spool import Spool
from gitreceive.errors import GitreceiveError
from gitreceive.model import LogLine

_log = logging.getLogger(__name__)

_SAVE_SECONDS = 1.0
_LOOK_SECONDS = 0.25
_PAUSE_SECONDS = 2.0
_LONGEST_PAUSE = 60.0
_BATCH = 500
_WAITING_LINES = 2000


class Tap:
    """Runs in threads of its own from ``start`` to ``stop``. What is not in every spool is not reckoned as read."""

    def __init__(
        self, logs: AppLogs, positions: Positions, path: Path, spools: Callable[[], Sequence[Spool]]
    ) -> None:
        self._logs = logs
        self._positions = positions
        self._path = path
        self._spools = spools
        self._stopping = threading.Event()
        self._thread = threading.Thread(target=self._run, name="tap", daemon=True)

    @property
    def alive(self) -> bool:
        """Until the app is gone, or it is stopped."""
        return self._thread.is_alive()

    def start(self) -> None:
        self._thread.start()

    def end(self) -> None:
        """Soon; ``stop`` waits for it."""
        self._stopping.set()

    def stop(self) -> None:
        self.end()
        self._thread.join(timeout=10)

    def _run(self) -> None:
        pause = _PAUSE_SECONDS
        while not self._stopping.is_set():
            try:
                self._flow()
                return  # the app is gone
            except GitreceiveError as error:
                _log.warning("the logs of %s cannot be drained: %s", self._logs.app.name, error.message)
                self._stopping.wait(pause)
                pause = min(_LONGEST_PAUSE, pause * 2)

    def _flow(self) -> None:
        arrived: queue.Queue[LogLine | GitreceiveError | None] = queue.Queue(_WAITING_LINES)
        with closing(self._logs.follow(self._positions.query())) as following:
            threading.Thread(target=_pump, args=(following, arrived), name="tap-pump", daemon=True).start()
            try:
                self._take_over(arrived)
            finally:
                following.close()
                _drain(arrived)

    def _take_over(self, arrived: "queue.Queue[LogLine | GitreceiveError | None]") -> None:
        saved_at, unsaved, over = time.monotonic(), False, False
        while not over and not self._stopping.is_set():
            lines, over = _next(arrived)
            if lines:
                self._keep(lines)
                unsaved = True
            if unsaved and (over or not lines or time.monotonic() - saved_at >= _SAVE_SECONDS):
                self._save()
                saved_at, unsaved = time.monotonic(), False
        if unsaved:
            self._save()

    def _keep(self, lines: Sequence[LogLine]) -> None:
        content = [packed(entry(self._logs.app.name, line)) for line in lines]
        for spool in self._spools():
            spool.append(content)
        for line in lines:
            self._positions.take(line)

    def _save(self) -> None:
        for spool in self._spools():
            spool.sync()
        self._positions.save(self._path)


def _pump(following: Following, arrived: "queue.Queue[LogLine | GitreceiveError | None]") -> None:
    try:
        for line in following:
            arrived.put(line)
    except GitreceiveError as error:
        arrived.put(error)
    else:
        arrived.put(None)


def _drain(arrived: "queue.Queue[LogLine | GitreceiveError | None]") -> None:
    """So that a pump which waits for room sees that it is over."""
    while not arrived.empty():
        arrived.get_nowait()


def _next(arrived: "queue.Queue[LogLine | GitreceiveError | None]") -> tuple[list[LogLine], bool]:
    """What has come, and whether it was the last. Raises what the logs raised, once what came before it is taken."""
    lines: list[LogLine] = []
    while len(lines) < _BATCH:
        try:
            one = arrived.get_nowait() if lines else arrived.get(timeout=_LOOK_SECONDS)
        except queue.Empty:
            return lines, False
        if isinstance(one, LogLine):
            lines.append(one)
        elif one is None:
            return lines, True
        elif lines:
            arrived.put(one)
            return lines, False
        else:
            raise one
    return lines, False
