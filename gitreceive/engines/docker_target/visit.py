"""One client at the door: its requests one after the other, each to the app that it names, each on a connection of its own.

Both sides speak through h11, so what one app's client sends is never taken by another side for more requests, or fewer, than it is
(RFC 9112, 11.2). From a switch of protocols on, a WebSocket's, bytes go through as they are.
"""

import asyncio
from collections.abc import AsyncIterator, Sequence
from contextlib import AbstractContextManager, suppress
from dataclasses import dataclass
from http import HTTPStatus
from typing import Protocol
from urllib.parse import urlsplit

import h11

from gitreceive.engines.docker_target.connection import UNAVAILABLE, Address, Notice
from gitreceive.engines.docker_target.heads import answer_headers, request_headers

_CHUNK = 65536
_LARGEST_HEAD = 65536  # bytes
_CONNECT_SECONDS = 2.0


@dataclass(frozen=True)
class Patience:
    """In seconds."""

    head: float = 15.0  # from its first byte to its last
    idle: float = 75.0  # between two requests
    retry: float = 5.0  # a container that crashed is started again by Docker; its clients wait that long


class Carried(Protocol):
    """What is open to a container."""

    address: Address | None

    def move(self) -> None: ...

    def abort(self) -> None: ...


class Route(Protocol):
    """Who serves an app."""

    @property
    def notice(self) -> Notice | None:
        """What is said in the app's place."""

    def in_turn(self) -> Sequence[Address]: ...

    def carrying(self, carried: Carried) -> AbstractContextManager[None]:
        """While inside, it is waited for, and cut in the end, where its container goes."""


class Way(Protocol):
    @property
    def https(self) -> bool: ...


class Map(Protocol):
    @property
    def secure_port(self) -> int: ...

    def answer(self, host: str) -> tuple[Way | None, Route | None]: ...


class Visit:
    """A client's connection. ``secure``: over TLS."""

    def __init__(
        self,
        reader: asyncio.StreamReader,
        writer: asyncio.StreamWriter,
        ways: Map,
        patience: Patience,
        *,
        secure: bool,
    ) -> None:
        self.address: Address | None = None
        self._reader, self._writer, self._ways, self._secure = reader, writer, ways, secure
        self._client = h11.Connection(h11.SERVER, max_incomplete_event_size=_LARGEST_HEAD)
        self._patience = patience
        self._container: asyncio.StreamWriter | None = None
        self._ending = False

    async def serve(self) -> None:
        """Return when the client is done, or was too slow to say what it wants."""
        while not self._ending:
            try:
                request = await self._request()
            except h11.RemoteProtocolError as error:
                await self._refuse(HTTPStatus(error.error_status_hint), "this is no request\n")
                return
            if request is None:
                return
            await self._answer(request)
            if (self._client.our_state, self._client.their_state) != (h11.DONE, h11.DONE):
                return
            self._client.start_next_cycle()

    def last(self) -> None:
        """No further request is taken."""
        self._ending = True
        if self._client.their_state is h11.IDLE and self._client.our_state is h11.IDLE:
            self.abort()

    def move(self) -> None:
        """Nothing to do: the next request finds its container anew."""

    def abort(self) -> None:
        for writer in (self._writer, self._container):
            if writer is not None:
                writer.transport.abort()

    async def _request(self) -> h11.Request | None:
        limit = self._patience.head if self._client.trailing_data[0] else self._patience.idle
        try:
            async with asyncio.timeout(limit) as waiting:
                while (event := self._client.next_event()) is h11.NEED_DATA:
                    before = bool(self._client.trailing_data[0])
                    self._client.receive_data(await self._reader.read(_CHUNK))
                    if not before:
                        waiting.reschedule(asyncio.get_running_loop().time() + self._patience.head)
        except TimeoutError:
            return None
        return event if isinstance(event, h11.Request) else None

    async def _answer(self, request: h11.Request) -> None:
        asked = _asked(request)
        if asked is None:
            await self._refuse(HTTPStatus.BAD_REQUEST, "this names no host\n")
            return
        host, target = asked
        way, route = self._ways.answer(host.partition(":")[0].rstrip(".").lower())
        if way is None:
            await self._refuse(HTTPStatus.NOT_FOUND, "no app answers at this host\n")
        elif way.https and not self._secure and self._ways.secure_port:
            await self._send_on(request, host, target)
        elif route is None or route.notice:
            await self._tell(route.notice if route and route.notice else UNAVAILABLE)
        else:
            await self._carry(request, target, route, host)

    async def _carry(self, request: h11.Request, target: bytes, route: Route, host: str) -> None:
        with route.carrying(self):
            found = await self._connect(route)
            if found is None:
                await self._tell(route.notice or UNAVAILABLE)
                return
            reader, self._container = found
            try:
                peer = self._writer.get_extra_info("peername")[0]
                headers = request_headers(request, peer, host, secure=self._secure)
                exchange = _Exchange(self._client, self._reader, self._writer, reader, self._container)
                if not await exchange.run(h11.Request(method=request.method, target=target, headers=headers)):
                    await self._refuse(HTTPStatus.BAD_GATEWAY, "the app hung up\n")
            finally:
                self._container.transport.abort()  # it has said all that is wanted of it
                self.address = self._container = None

    async def _connect(self, route: Route) -> tuple[asyncio.StreamReader, asyncio.StreamWriter] | None:
        loop = asyncio.get_running_loop()
        end = loop.time() + self._patience.retry
        while True:
            for address in route.in_turn():
                with suppress(OSError):
                    async with asyncio.timeout(_CONNECT_SECONDS):
                        found = await asyncio.open_connection(*address)
                    self.address = address
                    return found
            if loop.time() >= end:
                return None
            await asyncio.sleep(0.1)

    async def _send_on(self, request: h11.Request, host: str, target: bytes) -> None:
        port = self._ways.secure_port
        place = host.partition(":")[0] + (f":{port}" if port != 443 else "")
        safe = request.method in {b"GET", b"HEAD"}
        status = HTTPStatus.MOVED_PERMANENTLY if safe else HTTPStatus.PERMANENT_REDIRECT
        await self._refuse(status, "", ("Location", f"https://{place}{target.decode('ascii')}"))

    async def _tell(self, notice: Notice) -> None:
        headers = (
            ("Content-Type", notice.content_type),
            ("Cache-Control", "no-store"),
            ("Retry-After", str(notice.retry_seconds)),
        )
        await self._say(HTTPStatus.SERVICE_UNAVAILABLE, notice.body, headers)

    async def _refuse(self, status: HTTPStatus, text: str, *headers: tuple[str, str]) -> None:
        await self._say(status, text.encode(), (("Content-Type", "text/plain; charset=utf-8"), *headers))

    async def _say(self, status: HTTPStatus, body: bytes, headers: Sequence[tuple[str, str]]) -> None:
        """And take no more of this client: what it goes on to send may belong to what was refused."""
        if self._client.our_state not in {h11.IDLE, h11.SEND_RESPONSE}:
            return
        length = ("Content-Length", str(len(body)))
        head = h11.Response(
            status_code=status, reason=status.phrase, headers=[length, ("Connection", "close"), *headers]
        )
        with suppress(h11.LocalProtocolError):
            for event in (head, h11.Data(data=body), h11.EndOfMessage()):
                self._writer.write(self._client.send(event) or b"")
            await self._writer.drain()


class _Exchange:
    """One request and its answer, both ways at once: an answer may begin before the request has ended."""

    def __init__(
        self,
        client: h11.Connection,
        client_reader: asyncio.StreamReader,
        client_writer: asyncio.StreamWriter,
        reader: asyncio.StreamReader,
        writer: asyncio.StreamWriter,
    ) -> None:
        self._client, self._client_reader, self._client_writer = client, client_reader, client_writer
        self._reader, self._writer = reader, writer
        self._app = h11.Connection(h11.CLIENT, max_incomplete_event_size=_LARGEST_HEAD)

    async def run(self, request: h11.Request) -> bool:
        """False where the app hung up before it said anything."""
        self._writer.write(self._app.send(request) or b"")
        asking = asyncio.create_task(self._ask())
        answering = asyncio.create_task(self._answer())
        try:
            await asyncio.wait((asking, answering), return_when=asyncio.FIRST_COMPLETED)
            if not answering.done() and asking.done() and asking.result():
                return True  # the client has gone
            return await answering
        except (OSError, h11.ProtocolError):
            self._client_writer.transport.abort()  # in the middle of it: all else would look like its end
            return True
        finally:
            asking.cancel()
            answering.cancel()
            await asyncio.gather(asking, answering, return_exceptions=True)

    async def _ask(self) -> bool:
        """True where the client has gone. Once all was said it is listened to for that alone."""
        async for event in _events(self._client, self._client_reader):
            try:
                self._writer.write(self._app.send(event) or b"")
                await self._writer.drain()
            except (OSError, h11.LocalProtocolError):
                return False  # the app wants no more; what it says tells why
        if self._client.their_state is h11.DONE and not self._client.trailing_data[0]:
            ahead = await self._client_reader.read(_CHUNK)
            self._client.receive_data(ahead)
            return not ahead
        return self._client.their_state is h11.CLOSED

    async def _answer(self) -> bool:
        while True:
            try:
                event = await _next(self._app, self._reader)
            except h11.RemoteProtocolError:
                return False
            if isinstance(event, h11.Response):
                break
            if not isinstance(event, h11.InformationalResponse):
                return False
            self._client_writer.write(self._client.send(answer_headers(event)) or b"")
            await self._client_writer.drain()
            if event.status_code == HTTPStatus.SWITCHING_PROTOCOLS:
                await self._splice()
                return True
        self._client_writer.write(self._client.send(answer_headers(event)) or b"")
        async for part in _events(self._app, self._reader):
            self._client_writer.write(self._client.send(part) or b"")
            await self._client_writer.drain()
        if self._client.our_state not in {h11.DONE, h11.MUST_CLOSE}:
            self._client_writer.transport.abort()
        return True

    async def _splice(self) -> None:
        """Until either side is done, as long as that takes."""
        self._client_writer.write(self._app.trailing_data[0])
        self._writer.write(self._client.trailing_data[0])
        ways = (
            asyncio.create_task(_copy(self._client_reader, self._writer)),
            asyncio.create_task(_copy(self._reader, self._client_writer)),
        )
        try:
            await asyncio.gather(*ways)
        finally:
            for way in ways:
                way.cancel()


async def _copy(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
    while chunk := await reader.read(_CHUNK):
        writer.write(chunk)
        await writer.drain()
    if writer.can_write_eof():
        writer.write_eof()
    else:
        writer.close()  # TLS cannot end one way alone


async def _next(connection: h11.Connection, reader: asyncio.StreamReader) -> object:
    while (event := connection.next_event()) is h11.NEED_DATA:
        connection.receive_data(await reader.read(_CHUNK))
    return event


async def _events(
    connection: h11.Connection, reader: asyncio.StreamReader
) -> AsyncIterator[h11.Data | h11.EndOfMessage]:
    """The rest of a message. Raises h11.RemoteProtocolError where it breaks off."""
    while True:
        event = await _next(connection, reader)
        if not isinstance(event, h11.Data | h11.EndOfMessage):
            return
        yield event
        if isinstance(event, h11.EndOfMessage):
            return


def _asked(request: h11.Request) -> tuple[str, bytes] | None:
    """The host and the target. A target that is a whole URL names the host itself (RFC 9112, 3.2.2)."""
    try:
        target = request.target.decode("ascii")
        if target.lower().startswith(("http://", "https://")):
            parts = urlsplit(target)
            return parts.netloc.rpartition("@")[2], (
                f"{parts.path or '/'}{f'?{parts.query}' if parts.query else ''}".encode()
            )
        host = next((value.decode("ascii") for name, value in request.headers if name == b"host"), "")
    except (UnicodeDecodeError, ValueError):
        return None
    return (host, request.target) if host and target.startswith(("/", "*")) else None
