"""Open sessions end when what they stand on is taken away."""

import asyncio
import logging
from typing import Protocol

from gitreceive.acting import Actor
from gitreceive.errors import GitreceiveError
from gitreceive.model import AppName, Permission
from gitreceive.ports import EventLedger
from gitreceive.stories.revocation import Standing, withdrawn

_log = logging.getLogger(__name__)
_SECONDS = 0.5  # between two looks
_GRACE = 1.0  # seconds that a command has to end by itself: it may be the one that has taken its own key away


class RevocationLedger(EventLedger, Standing, Protocol):
    """What looking needs of the ledger."""


class Revocations:
    """Looks twice a second at whether anything happened at all, and only then at each session: nothing is taken away without an event,
    but by time, which ends tokens.
    """

    def __init__(self, ledger: RevocationLedger) -> None:
        self._ledger = ledger

    async def withdrawal(self, actor: Actor, *needs: tuple[AppName, Permission]) -> str:
        """Returns once ``actor`` may go on no longer: why, in words."""
        seen = -1
        while True:
            await asyncio.sleep(_SECONDS)
            try:
                newest = await asyncio.to_thread(self._ledger.newest_event)
                if newest == seen and not actor.token:
                    continue
                reason = await asyncio.to_thread(withdrawn, actor, needs, self._ledger)
                seen = newest
            except GitreceiveError as error:
                _log.error("it could not be looked at what %s may: %s", actor.user, error)
                continue
            if reason:
                await asyncio.sleep(_GRACE)
                return reason
