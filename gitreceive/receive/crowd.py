"""How many are served at once: in all, of one user, and to one app. Whoever comes on top waits for a while, or is told at once."""

import asyncio
from collections import Counter
from collections.abc import AsyncIterator, Mapping
from contextlib import asynccontextmanager
from dataclasses import dataclass
from typing import Self

from gitreceive.config.limits import LimitSettings
from gitreceive.errors import UnavailableError
from gitreceive.model import AppName, UserName

_PATIENCE = 60.0  # seconds in which a place to receive a push may become free


class Crowd:
    """All doors' together, in one event loop."""

    def __init__(self, limits: LimitSettings, patience: float = _PATIENCE) -> None:
        self._patience = patience
        self._sessions = _Places(
            "sessions", {"": ("sessions", limits.sessions), "user": ("user_sessions", limits.user_sessions)}
        )
        self._receiving = _Places(
            "pushes to receive",
            {
                "": ("receiving", limits.receiving),
                "user": ("user_receiving", limits.user_receiving),
                "app": ("app_receiving", limits.app_receiving),
            },
        )

    def session(self, user: UserName) -> "Place":
        """For a push, a fetch or a command. Raises UnavailableError where there are too many."""
        return self._sessions.take({"": "", "user": user})

    @asynccontextmanager
    async def receiving(self, user: UserName, app: AppName) -> AsyncIterator["Place"]:
        """For a push until all its objects are there: the place may be left earlier than the context. Raises UnavailableError where none
        becomes free in time.
        """
        place = await self._receiving.wait({"": "", "user": user, "app": app}, self._patience)
        with place:
            yield place


@dataclass
class Place:
    """One that somebody has. A context; leaving it twice is leaving it once."""

    _places: "_Places"
    _holder: Mapping[str, str]
    _held: bool = True

    def leave(self) -> None:
        if self._held:
            self._held = False
            self._places.give_back(self._holder)

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        self.leave()


class _Places:
    """``limits``: by what is counted (all of them, a user's, an app's), the setting and the most."""

    def __init__(self, what: str, limits: Mapping[str, tuple[str, int]]) -> None:
        self._what = what
        self._limits = limits
        self._taken: Counter[tuple[str, str]] = Counter()
        self._waiting: list[asyncio.Future[None]] = []

    def take(self, holder: Mapping[str, str]) -> Place:
        full = next(
            (kind for kind in holder if self._taken[kind, holder[kind]] >= self._limits[kind][1]), None
        )
        if full is not None:
            raise self._error(full, holder[full])
        for kind, name in holder.items():
            self._taken[kind, name] += 1
        return Place(self, holder)

    async def wait(self, holder: Mapping[str, str], seconds: float) -> Place:
        """In the order in which they came, as far as there is a place for each."""
        end = asyncio.get_running_loop().time() + seconds
        while True:
            try:
                return self.take(holder)
            except UnavailableError:
                left = end - asyncio.get_running_loop().time()
                if left <= 0:
                    raise
                await self._change(left)

    def give_back(self, holder: Mapping[str, str]) -> None:
        self._taken.subtract(holder.items())
        self._taken += Counter()  # forgets those that have none
        waiting, self._waiting = self._waiting, []
        for future in waiting:
            if not future.done():
                future.set_result(None)

    async def _change(self, seconds: float) -> None:
        future: asyncio.Future[None] = asyncio.get_running_loop().create_future()
        self._waiting.append(future)
        try:
            async with asyncio.timeout(seconds):
                await future
        except TimeoutError:
            return
        finally:
            if future in self._waiting:
                self._waiting.remove(future)

    def _error(self, kind: str, name: str) -> UnavailableError:
        setting, most = self._limits[kind]
        return UnavailableError(
            f"{name or 'the server'} has {most} {self._what} at once already; nothing was changed",
            hint=f"try again when some have ended; the limit is limits.{setting}",
        )
