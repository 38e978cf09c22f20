"""The forwarder: a port for each app, or one for all of them, and behind it whichever containers serve at the moment.

It lives in the server process, on an event loop in a thread of its own.
"""

import asyncio
import ssl
import threading
from collections.abc import Coroutine, Iterator, Sequence
from concurrent.futures import Future
from contextlib import contextmanager
from typing import Any, TypeVar

from gitreceive.engines.docker_target.connection import Address, Connection, Notice
from gitreceive.engines.docker_target.router import Router, Table, close_door
from gitreceive.engines.docker_target.tls import door_context
from gitreceive.engines.docker_target.visit import Carried, Patience
from gitreceive.errors import UnavailableError

_T = TypeVar("_T")
_POLL_SECONDS = 0.02
_BACKLOG = 1024


class Forwarder:
    """All methods block, may be called from any thread, and may be called twice."""

    def __init__(self, host: str, patience: Patience | None = None) -> None:
        self._host = host
        self._lock = threading.Lock()
        self._loop: asyncio.AbstractEventLoop | None = None
        self._thread: threading.Thread | None = None
        self._routes: dict[str, _Route] = {}
        self._router = Router(self._routes.get, patience or Patience())

    def open_door(self, host: str, port: int, *, secure: bool) -> None:
        """Answer there for all apps, by the hosts of the table; over TLS with the certificates in it. Raises UnavailableError."""

        def find(name: str) -> ssl.SSLContext | None:
            return self._router.table.context(name)

        self._run(self._router.listen(host, port, door_context(find) if secure else None))

    def lead(self, table: Table) -> None:
        """Requests that begin from now on go by this table."""
        self._router.table = table

    def route(self, app: str, port: int, addresses: Sequence[Address], notice: Notice | None = None) -> None:
        """Requests that begin from now on go to ``addresses``, in turn, or are answered with ``notice``. Listens where it does not yet.

        Raises UnavailableError where the port cannot be had.
        """
        self._run(self._route(app, port, tuple(addresses), notice))

    def drain(self, app: str, addresses: Sequence[Address], seconds: float) -> int:
        """Wait until no connection goes to ``addresses``, which the app has been routed away from.

        Those between two requests move at once, those under way have ``seconds``; how many were cut then.
        """
        route = self._routes.get(app)
        return self._run(route.drained(frozenset(addresses), seconds)) if route else 0

    def drop(self, app: str) -> None:
        """Stop listening for the app, and cut what is open."""
        if app in self._routes:
            self._run(self._drop(app))

    @property
    def apps(self) -> tuple[str, ...]:
        return tuple(self._routes)

    def stop(self, grace: float) -> None:
        """Listen no more. Requests under way have ``grace`` seconds; then everything is cut."""
        with self._lock:
            if self._loop is None or self._thread is None:
                return
            asyncio.run_coroutine_threadsafe(self._stop(grace), self._loop).result()
            self._loop.call_soon_threadsafe(self._loop.stop)
            self._thread.join()
            self._loop.close()
            self._loop = self._thread = None

    def _run(self, work: Coroutine[Any, Any, _T]) -> _T:
        with self._lock:
            if self._loop is None:
                self._loop = asyncio.new_event_loop()
                self._thread = threading.Thread(target=self._loop.run_forever, name="forwarder", daemon=True)
                self._thread.start()
            done: Future[_T] = asyncio.run_coroutine_threadsafe(work, self._loop)
        return done.result()

    async def _route(
        self, app: str, port: int, addresses: tuple[Address, ...], notice: Notice | None
    ) -> None:
        route = self._routes.get(app)
        if route is not None and route.port != port:
            await self._drop(app)
            route = None
        if route is None:
            route = _Route(port)
            await route.listen(app, self._host)
            self._routes[app] = route
        route.notice = notice
        route.addresses = () if notice else addresses
        route.move()

    async def _drop(self, app: str) -> None:
        await self._routes.pop(app).close(0)

    async def _stop(self, grace: float) -> None:
        routes = list(self._routes.values())
        await self._router.close(grace)
        self._routes.clear()
        await asyncio.gather(*(route.close(grace) for route in routes))
        here = {asyncio.current_task()}
        while late := asyncio.all_tasks() - here:  # of clients that came while the door was closing
            for task in late:
                task.cancel()
            await asyncio.gather(*late, return_exceptions=True)
            await asyncio.sleep(0)
        for _ in range(2):  # closed transports let go of their sockets in the loop's next turns
            await asyncio.sleep(0)


class _Route:
    """One app's port. Used on the event loop only."""

    def __init__(self, port: int) -> None:
        self.port = port
        self.addresses: tuple[Address, ...] = ()
        self.notice: Notice | None = None
        self._turn = 0
        self._server: asyncio.Server | None = None
        self._open: dict[Carried, asyncio.Task[Any]] = {}

    async def listen(self, app: str, host: str) -> None:
        try:
            self._server = await asyncio.start_server(self._accept, host, self.port, backlog=_BACKLOG)
        except OSError as error:
            raise UnavailableError(
                f"cannot listen on {host} port {self.port} for {app}: {error.strerror or error}",
                hint="free the port, or set docker.listen to an address of this host",
            ) from error

    def move(self) -> None:
        for connection in self._open:
            connection.move()

    async def close(self, grace: float) -> None:
        if self._server is not None:
            server, self._server = self._server, None
            await close_door(server)
        self.addresses = ()
        self.move()
        await self.drained(None, grace)
        tasks = tuple(self._open.values())
        for connection, task in self._open.items():
            connection.abort()
            task.cancel()
        await asyncio.gather(*tasks, return_exceptions=True)

    async def drained(self, addresses: frozenset[Address] | None, seconds: float) -> int:
        """Until no connection is on these addresses (None: on any), or the time is up: then they are cut."""
        loop = asyncio.get_running_loop()
        end = loop.time() + seconds
        while True:
            busy = [c for c in self._open if c.address and (addresses is None or c.address in addresses)]
            if not busy:
                return 0
            if loop.time() >= end:
                break
            await asyncio.sleep(_POLL_SECONDS)
        for connection in busy:
            connection.abort()
        return len(busy)

    def in_turn(self) -> Sequence[Address]:
        if not self.addresses:
            return ()
        self._turn = (self._turn + 1) % len(self.addresses)
        return self.addresses[self._turn :] + self.addresses[: self._turn]

    @contextmanager
    def carrying(self, carried: Carried) -> Iterator[None]:
        task = asyncio.current_task()
        if task is None:
            raise RuntimeError("a connection outside a task")
        self._open[carried] = task
        try:
            yield
        finally:
            del self._open[carried]

    async def _accept(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        if self._server is None:
            writer.transport.abort()
            return
        connection = Connection(reader, writer, self)
        with self.carrying(connection):
            await connection.carry()
