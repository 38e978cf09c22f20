"""The server collects by itself, now and then, what is no longer kept."""

import logging
import threading
from datetime import UTC, datetime

from gitreceive.collection import Collected, Request, collect
from gitreceive.config import RetentionSettings
from gitreceive.errors import GitreceiveError
from gitreceive.ports import Platform
from gitreceive.voice import Voice

_FIRST_SECONDS = 900.0  # a server that has just come up has better things to do
_HOUR = 3600.0

_logger = logging.getLogger(__name__)


class Collector:
    """``holder`` must be new for each start of a server. Nothing is done where ``settings.automatic`` is off."""

    def __init__(self, platform: Platform, settings: RetentionSettings, holder: str) -> None:
        self._platform = platform
        self._settings = settings
        self._holder = holder
        self._stopping = threading.Event()

    def start(self) -> None:
        if self._settings.automatic:
            threading.Thread(target=self._run, name="collector", daemon=True).start()

    def stop(self) -> None:
        """What is under way is left to the process's end: it may be broken off anywhere."""
        self._stopping.set()

    def _run(self) -> None:
        pause = _FIRST_SECONDS
        while not self._stopping.wait(pause):
            pause = self._settings.every_hours * _HOUR
            once(self._platform, self._settings, self._holder)


def once(platform: Platform, settings: RetentionSettings, holder: str) -> Collected | None:
    """None where the ledger did not answer. What could not be done is in the server's own log, and is tried again the next time."""
    request = Request(settings, holder, datetime.now(UTC))
    try:
        done = collect(request, platform, Voice(lambda _chunk: None))
    except GitreceiveError as error:
        _logger.error("nothing could be collected: %s", error)
        return None
    for problem in done.problems:
        _logger.warning("not all could be collected: %s (%s)", problem.message, problem.hint)
    _logger.info("collected releases of %d apps, %d logs, %d bytes", len(done.apps), done.logs, done.disk)
    return done
