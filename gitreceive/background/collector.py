"""The server collects by itself, now and then, what is no longer kept."""

import logging
from datetime import UTC, datetime

from gitreceive.config import RetentionSettings
from gitreceive.ports import Platform
from gitreceive.stories.collection import Collected, Request, collect
from gitreceive.voice import Voice

_logger = logging.getLogger(__name__)


def once(platform: Platform, settings: RetentionSettings, holder: str) -> Collected:
    """What could not be done is in the server's own log, and is tried again the next time. ``holder`` must be new for each start of a server. Raises
    UnavailableError where the ledger does not answer.
    """
    request = Request(settings, holder, datetime.now(UTC))
    done = collect(request, platform, Voice(lambda _chunk: None))
    for problem in done.problems:
        _logger.warning("not all could be collected: %s (%s)", problem.message, problem.hint)
    _logger.info("collected releases of %d apps, %d logs, %d bytes", len(done.apps), done.logs, done.disk)
    return done
