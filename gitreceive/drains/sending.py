"""From a drain's spool to its receiver, again and again until it has arrived."""

import logging
import random
import threading
import time
from collections import deque
from collections.abc import Callable
from dataclasses import dataclass, replace
from datetime import UTC, datetime

from gitreceive.drains.receiving import Entry, Receiver, word_of_ours
from gitreceive.drains.spool import Batch, Mark, Spool
from gitreceive.drains.status import DrainStatus
from gitreceive.errors import GitreceiveError, UnavailableError
from gitreceive.model import AppName

_log = logging.getLogger(__name__)

_LOOK_SECONDS = 0.25
_LONGEST_PAUSE = 15.0
_TOLD_SECONDS = 2.0
_MOST_UNSETTLED = 256  # batches


@dataclass(frozen=True)
class Pace:
    """Seconds. ``pause`` before the first repetition; it doubles, with as much again by chance."""

    pause: float = 1.0
    look: float = _LOOK_SECONDS


def _known(error: Exception) -> GitreceiveError:
    if isinstance(error, GitreceiveError):
        return error
    _log.error("a log drain has a fault", exc_info=error)
    return UnavailableError(f"the server has a fault: {type(error).__name__}; its log has more")


@dataclass(frozen=True)
class _Sent:
    end: Mark
    lines: int
    at: float


class Sender:
    """Runs in a thread of its own from ``start`` to ``stop``. ``tell`` is given the drain's state every few seconds where it changed."""

    def __init__(
        self,
        app: AppName,
        spool: Spool,
        receiver: Receiver,
        tell: Callable[[DrainStatus], None],
        pace: Pace,
    ) -> None:
        self._app = app
        self._spool = spool
        self._receiver = receiver
        self._tell = tell
        self._pace = pace
        self._stopping = threading.Event()
        self._cursor = spool.delivered
        self._unsettled: deque[_Sent] = deque()
        self._status = DrainStatus(dropped=spool.dropped, waiting=spool.waiting)
        self._told: DrainStatus | None = None
        self._told_at = 0.0
        self._thread = threading.Thread(target=self._run, name="drain", daemon=True)

    def start(self, before: DrainStatus) -> None:
        """``before`` is what an earlier server told."""
        self._status = replace(before, waiting=self._spool.waiting, dropped=self._spool.dropped)
        self._thread.start()

    def end(self) -> None:
        """Soon; ``stop`` waits for it."""
        self._stopping.set()

    def stop(self) -> None:
        self.end()
        self._thread.join(timeout=10)

    def _run(self) -> None:
        pause = self._pace.pause
        while not self._stopping.is_set():
            try:
                sent = self._round()
                self._report()
                if sent:
                    pause = self._pace.pause
                else:
                    self._stopping.wait(self._pace.look)
            except Exception as error:  # noqa: BLE001 - whatever it is, it is tried again
                self._begin_again(_known(error))
                self._stopping.wait(pause * (1 + random.random()))  # noqa: S311 - so that not all come back at once
                pause = min(_LONGEST_PAUSE, pause * 2)
        self._settle_last()
        self._receiver.close()

    def _round(self) -> bool:
        """Whether something was sent."""
        if self._receiver.check():
            self._settle()
        if len(self._unsettled) >= _MOST_UNSETTLED:
            return False
        batch = self._spool.read(self._cursor)
        if batch.lost:
            self._say_what_was_lost(batch.lost)
        if not batch.entries:
            return False
        self._send(batch)
        return True

    def _send(self, batch: Batch) -> None:
        taken = max(1, self._receiver.send(batch.entries))
        end = batch.ends[taken - 1]
        self._cursor = end
        self._unsettled.append(_Sent(end, taken, time.monotonic()))
        if not self._receiver.settle_seconds:
            self._settle()

    def _say_what_was_lost(self, lost: int) -> None:
        text = f"{lost} lines were lost: the receiver was away for longer than what waits may have room"
        said: Entry = word_of_ours(self._app, text)
        try:
            self._receiver.send([said])
        except GitreceiveError:
            self._spool.give_back(lost)
            raise

    def _settle(self) -> None:
        """What was sent long enough ago, over a connection that still stands, has arrived."""
        now, end, lines = time.monotonic(), None, 0
        while self._unsettled and now - self._unsettled[0].at >= self._receiver.settle_seconds:
            sent = self._unsettled.popleft()
            end, lines = sent.end, lines + sent.lines
        if end is not None:
            self._spool.commit(end)
            moment = datetime.now(UTC).isoformat(timespec="seconds")
            self._status = replace(
                self._status,
                state="delivering",
                delivered=self._status.delivered + lines,
                delivered_at=moment,
            )

    def _settle_last(self) -> None:
        try:
            if self._receiver.check():
                self._settle()
            self._report(now=True)
        except GitreceiveError as error:
            self._begin_again(error)

    def _begin_again(self, error: GitreceiveError) -> None:
        """All that is not known to have arrived is sent again."""
        self._receiver.close()
        self._unsettled.clear()
        self._cursor = self._spool.delivered
        moment = datetime.now(UTC).isoformat(timespec="seconds")
        self._status = replace(self._status, state="retrying", error=error.message[:300], error_at=moment)
        self._report(now=True)

    def _report(self, *, now: bool = False) -> None:
        status = replace(self._status, waiting=self._spool.waiting, dropped=self._spool.dropped)
        if status == self._told or (not now and time.monotonic() - self._told_at < _TOLD_SECONDS):
            return
        self._tell(status)
        self._told, self._told_at = status, time.monotonic()
