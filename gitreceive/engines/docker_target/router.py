"""One door for all apps: each request goes to the app whose host it names."""

import asyncio
import ssl
from collections.abc import Callable, Mapping
from contextlib import suppress
from dataclasses import dataclass, field

from gitreceive.engines.docker_target.visit import Patience, Route, Visit
from gitreceive.errors import UnavailableError
from gitreceive.model import Domain

_BACKLOG = 1024
_MOST_VISITS = 4096  # clients at once: files that one process may have open are few
_HANDSHAKE_SECONDS = 10.0
_LAST_WORDS_SECONDS = 30.0  # in which a client has to take what was said to it last


@dataclass(frozen=True)
class Way:
    """Where a host leads. ``https``: plain requests are sent on to HTTPS."""

    app: str
    https: bool = False


@dataclass(frozen=True)
class Table:
    """By host, some with a wildcard."""

    ways: Mapping[str, Way] = field(default_factory=dict)
    contexts: Mapping[str, ssl.SSLContext] = field(default_factory=dict)

    def way(self, host: str) -> Way | None:
        return self.ways.get(host) or self.ways.get(Domain(host).above)

    def context(self, host: str) -> ssl.SSLContext | None:
        return self.contexts.get(host) or self.contexts.get(Domain(host).above)


class Router:
    """Used on the event loop only. ``route``: who serves an app at the moment."""

    def __init__(self, route: Callable[[str], Route | None], patience: Patience) -> None:
        self.table = Table()
        self._route = route
        self._patience = patience
        self._doors: list[asyncio.Server] = []
        self._visits: dict[Visit, asyncio.Task[None]] = {}
        self._secure_port = 0

    async def listen(self, host: str, port: int, context: ssl.SSLContext | None = None) -> None:
        """Raises UnavailableError where the port cannot be had."""
        secure = context is not None
        if secure:
            self._secure_port = port

        async def accept(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
            await self._accept(reader, writer, secure=secure)

        try:
            door = await asyncio.start_server(
                accept,
                host,
                port,
                backlog=_BACKLOG,
                ssl=context,
                ssl_handshake_timeout=_HANDSHAKE_SECONDS if secure else None,
            )
        except OSError as error:
            raise UnavailableError(
                f"cannot listen on {host} port {port}: {error.strerror or error}",
                hint="free the port, or set docker.http_listen and docker.https_listen to others",
            ) from error
        self._doors.append(door)

    async def close(self, grace: float) -> None:
        """Requests under way have ``grace`` seconds."""
        doors, self._doors = self._doors, []
        for door in doors:
            await close_door(door)
        for visit in self._visits:
            visit.last()
        if self._visits:
            await asyncio.wait(self._visits.values(), timeout=grace)
        for visit, task in list(self._visits.items()):
            visit.abort()
            task.cancel()
        await asyncio.gather(*self._visits.values(), return_exceptions=True)

    def answer(self, host: str) -> tuple[Way | None, Route | None]:
        """Which way a host leads, and who serves there."""
        way = self.table.way(host)
        return way, self._route(way.app) if way else None

    @property
    def secure_port(self) -> int:
        return self._secure_port

    async def _accept(
        self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter, *, secure: bool
    ) -> None:
        task = asyncio.current_task()
        if len(self._visits) >= _MOST_VISITS or not self._doors or task is None:
            writer.transport.abort()
            return
        visit = Visit(reader, writer, self, self._patience, secure=secure)
        self._visits[visit] = task
        try:
            with suppress(OSError, TimeoutError):
                await visit.serve()
                writer.close()
                async with asyncio.timeout(_LAST_WORDS_SECONDS):
                    await writer.wait_closed()
        finally:
            del self._visits[visit]
            writer.transport.abort()


async def close_door(server: asyncio.Server) -> None:
    """Accept no more, let what has just been accepted arrive, then close.

    asyncio trips over a connection that it accepted in the turn before ``close`` (an assertion in ``Server._attach``), and
    leaves its socket open.
    """
    loop = asyncio.get_running_loop()
    for door in server.sockets:
        loop.remove_reader(door.fileno())
    for _ in range(2):
        await asyncio.sleep(0)
    server.close()
