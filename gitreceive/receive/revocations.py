"""Open sessions end when what they stand on is taken away."""

import asyncio
import logging
import time
from collections.abc import Collection
from dataclasses import dataclass, field
from typing import Protocol

from gitreceive.acting import Actor
from gitreceive.errors import GitreceiveError
from gitreceive.model import AppName, Permission, Push
from gitreceive.ports import EventLedger
from gitreceive.stories.revocation import Standing, withdrawn

_log = logging.getLogger(__name__)
_SECONDS = 0.5  # between two looks
_SHARE = 10  # a look takes one part in so many of the time, however many are open;
_LONGEST = 5.0  # but no pause is longer
_GRACE = 1.0  # seconds that a command has to end by itself: it may be the one that has taken its own key away
_HARMLESS = (Push.kind, "build")  # what happens all the time, and takes nothing from anybody

_Needs = tuple[tuple[AppName, Permission], ...]


class RevocationLedger(EventLedger, Standing, Protocol):
    """What looking needs of the ledger."""


@dataclass(eq=False)
class _Open:
    """A session. ``known``: it was looked at since it is open."""

    actor: Actor
    needs: _Needs
    reason: "asyncio.Future[str]"
    known: bool = field(default=False)


class Revocations:
    """Looks twice a second at whether anything happened at all, once for all sessions, and only then at who has them: nothing is taken away
    without an event, but by time, which ends tokens. For one event loop.
    """

    def __init__(self, ledger: RevocationLedger) -> None:
        self._ledger = ledger
        self._open: set[_Open] = set()
        self._looking: asyncio.Task[None] | None = None
        self._seen = 0

    async def withdrawal(self, actor: Actor, *needs: tuple[AppName, Permission]) -> str:
        """Returns once ``actor`` may go on no longer: why, in words."""
        session = _Open(actor, needs, asyncio.get_running_loop().create_future())
        self._open.add(session)
        if self._looking is None or self._looking.done():
            self._looking = asyncio.create_task(self._look_on())
        looking = self._looking
        try:
            await asyncio.wait((session.reason, looking), return_when=asyncio.FIRST_COMPLETED)
            if not session.reason.done():
                looking.result()  # what broke it off: nobody goes on whom nobody looks at
            reason = await session.reason
        finally:
            self._open.discard(session)
            self._rest()
        await asyncio.sleep(_GRACE)
        return reason

    def _rest(self) -> None:
        """Where none is open any more."""
        if self._looking and not self._open:
            self._looking.cancel()
            self._looking = None

    async def _look_on(self) -> None:
        """Until it is canceled."""
        pause = _SECONDS
        while True:
            await asyncio.sleep(pause)
            began = time.monotonic()
            sessions = tuple(self._open)
            try:
                reasons = await asyncio.to_thread(self._look, sessions)
            except GitreceiveError as error:
                _log.error("it could not be looked at what those with open sessions may: %s", error)
            else:
                for session in sessions:
                    if (reason := reasons[session]) and not session.reason.done():
                        session.reason.set_result(reason)
            pause = min(_LONGEST, max(_SECONDS, _SHARE * (time.monotonic() - began)))

    def _look(self, sessions: Collection[_Open]) -> dict[_Open, str]:
        """Why each has to end; one that need not has no reason. Raises GitreceiveError, and then all are looked at again."""
        newest = self._ledger.newest_event(self._seen, _HARMLESS)
        found: dict[tuple[Actor, _Needs], str] = {}
        reasons = {}
        for session in sessions:
            who = session.actor, session.needs
            if who not in found and (newest != self._seen or not session.known or session.actor.token):
                found[who] = withdrawn(session.actor, session.needs, self._ledger)
            reasons[session] = found.get(who, "")
        for session in sessions:
            session.known = True
        self._seen = newest
        return reasons
