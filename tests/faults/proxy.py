"""A proxy that stands before Docker, a registry or a cluster's API, and spoils what passes, exchange by exchange.

It knows as much of HTTP/1.1 as it takes to tell requests on one connection apart (RFC 9112, 6.3); what a server makes a stream of
(Docker's attach, watches, websockets) is carried byte by byte.
"""

import asyncio
import contextlib
import socket
import ssl
import struct
import threading
from collections.abc import AsyncIterator, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path

from tests.faults.kinds import Fault, Faults

_CHUNK = 1 << 16
_CLOSING_SECONDS = 0.5
_NO_BODY = frozenset({204, 304})


@dataclass(frozen=True)
class Upstream:
    """Where the server is: ``path`` of a unix socket, or ``host`` and ``port``, over TLS where ``tls`` is given."""

    path: str = ""
    host: str = ""
    port: int = 0
    tls: ssl.SSLContext | None = None

    async def connect(self) -> tuple[asyncio.StreamReader, asyncio.StreamWriter]:
        if self.path:
            return await asyncio.open_unix_connection(self.path)
        return await asyncio.open_connection(self.host, self.port, ssl=self.tls)


@dataclass(frozen=True)
class Head:
    """The first line of a message and its headers, names in lower case."""

    raw: bytes
    first: list[str]
    headers: dict[str, str]

    @property
    def chunked(self) -> bool:
        return "chunked" in self.headers.get("transfer-encoding", "")

    @property
    def length(self) -> int | None:
        text = self.headers.get("content-length")
        return None if text is None else int(text)


@contextmanager
def proxying(
    upstream: Upstream, faults: Faults, *, at: Path | None = None, tls: ssl.SSLContext | None = None
) -> Iterator[int]:
    """While inside, a proxy listens at the unix socket ``at``, or at a free port of the loopback address; the port, or 0."""
    loop = asyncio.new_event_loop()
    thread = threading.Thread(target=loop.run_forever, name="fault-proxy", daemon=True)
    thread.start()
    door = _Door(upstream, faults)
    port = asyncio.run_coroutine_threadsafe(door.open(at, tls), loop).result(10)
    try:
        yield port
    finally:
        asyncio.run_coroutine_threadsafe(door.close(), loop).result(10)
        loop.call_soon_threadsafe(loop.stop)
        thread.join(10)
        loop.close()


class _Door:
    def __init__(self, upstream: Upstream, faults: Faults) -> None:
        self._upstream = upstream
        self._faults = faults
        self._server: asyncio.Server | None = None
        self._visits: set[asyncio.Task[None]] = set()

    async def open(self, at: Path | None, tls: ssl.SSLContext | None) -> int:
        if at:
            self._server = await asyncio.start_unix_server(self._visit, str(at))
            return 0
        self._server = await asyncio.start_server(self._visit, "127.0.0.1", 0, ssl=tls)
        return int(self._server.sockets[0].getsockname()[1])

    async def close(self) -> None:
        assert self._server
        self._server.close()
        for visit in list(self._visits):
            visit.cancel()
        await asyncio.gather(*self._visits, return_exceptions=True)
        await asyncio.sleep(0.05)  # transports close in the loop's next turns

    async def _visit(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        task = asyncio.current_task()
        assert task
        self._visits.add(task)
        visit = _Visit(reader, writer, self._upstream, self._faults)
        try:
            with contextlib.suppress(OSError, EOFError, ValueError, asyncio.CancelledError):
                await visit.carry()
        finally:
            await visit.close()
            self._visits.discard(task)


class _Visit:
    """One client's connection, with one to the server as long as it lasts."""

    def __init__(
        self,
        reader: asyncio.StreamReader,
        writer: asyncio.StreamWriter,
        upstream: Upstream,
        faults: Faults,
    ) -> None:
        self._reader, self._writer = reader, writer
        self._upstream, self._faults = upstream, faults
        self._server: tuple[asyncio.StreamReader, asyncio.StreamWriter] | None = None
        self._left: int | None = None  # bytes of the answer until it is cut
        self._drip = 0.0

    async def close(self) -> None:
        """Whole or not: what was passed on is on its way, and nothing is left open."""
        for writer in (self._writer, *(self._server or ())[1:]):
            writer.close()
            with contextlib.suppress(OSError, TimeoutError, asyncio.CancelledError):
                await asyncio.wait_for(writer.wait_closed(), _CLOSING_SECONDS)
            writer.transport.abort()

    async def carry(self) -> None:
        while head := await _head(self._reader):
            fault = self._faults.draw(head.first[0], head.first[1])
            if fault and fault.delay:
                await asyncio.sleep(fault.delay)
            if fault and await self._instead(head, fault):
                return
            if fault and fault.status:
                continue
            self._left, self._drip = (fault.cut, fault.drip) if fault else (None, 0.0)
            if not await self._exchange(head, reset=bool(fault and fault.reset)):
                return

    async def _instead(self, head: Head, fault: Fault) -> bool:
        """What the server never sees; whether the connection is over."""
        if fault.unseen:
            _reset(self._writer)
            return True
        if fault.silent:
            await self._reader.read()  # all of it, until the client leaves
            return True
        if fault.status:
            if "100-continue" in head.headers.get("expect", ""):
                self._writer.write(b"HTTP/1.1 100 Continue\r\n\r\n")
            async for _ in _body(self._reader, head):
                pass
            self._writer.write(fault.answer(head.first[0]))
            await self._writer.drain()
        return False

    async def _exchange(self, head: Head, *, reset: bool) -> bool:
        """Whether another one may follow."""
        if self._server is None:
            self._server = await self._upstream.connect()
        there, back = self._server
        back.write(head.raw)
        sending = asyncio.create_task(self._send(head, back))
        try:
            answer = await _head(there)
            while answer and answer.first[1] == "100":
                await self._pass(answer.raw)
                answer = await _head(there)
            if answer is None or not await self._say(answer.raw, reset=reset):
                return False
            if _handed_over(answer):
                await self._both_ways(there, back, reset=reset)
                return False
            async for piece in _body(there, answer, asked=head.first[0]):
                if not await self._say(piece, reset=reset):
                    return False
            return sending.done() and answer.headers.get("connection", "").lower() != "close"
        finally:
            sending.cancel()
            await asyncio.gather(sending, return_exceptions=True)

    async def _send(self, head: Head, back: asyncio.StreamWriter) -> None:
        async for piece in _body(self._reader, head):
            back.write(piece)
            await back.drain()

    async def _both_ways(
        self, there: asyncio.StreamReader, back: asyncio.StreamWriter, *, reset: bool
    ) -> None:
        async def inwards() -> None:
            while piece := await self._reader.read(_CHUNK):
                back.write(piece)
                await back.drain()
            back.write_eof()

        sending = asyncio.create_task(inwards())
        try:
            while (piece := await there.read(_CHUNK)) and await self._say(piece, reset=reset):
                pass
        finally:
            sending.cancel()
            await asyncio.gather(sending, return_exceptions=True)

    async def _say(self, piece: bytes, *, reset: bool) -> bool:
        """A part of the answer; False once it was cut."""
        if self._left is None:
            await self._pass(piece)
            return True
        await self._pass(piece[: self._left])
        self._left -= min(len(piece), self._left)
        if self._left:
            return True
        if reset:
            _reset(self._writer)
        return False

    async def _pass(self, piece: bytes) -> None:
        if not self._drip:
            self._writer.write(piece)
            await self._writer.drain()
            return
        for byte in piece:
            self._writer.write(bytes((byte,)))
            await self._writer.drain()
            await asyncio.sleep(self._drip)


async def _head(reader: asyncio.StreamReader) -> Head | None:
    """None where the connection ends before one."""
    try:
        raw = await reader.readuntil(b"\r\n\r\n")
    except asyncio.IncompleteReadError:
        return None
    first, *lines = raw.decode("latin-1").rstrip("\r\n").split("\r\n")
    pairs = (line.partition(":") for line in lines)
    return Head(raw, first.split(" ", 2), {name.lower(): value.strip() for name, _, value in pairs})


async def _body(reader: asyncio.StreamReader, head: Head, asked: str = "") -> AsyncIterator[bytes]:
    """The pieces as they were sent. ``asked``: the method, where it is an answer's (RFC 9112, 6.3)."""
    if asked == "HEAD" or (asked and int(head.first[1]) in _NO_BODY):
        return
    if head.chunked:
        async for piece in _chunks(reader):
            yield piece
        return
    left = head.length
    if left is None and not asked:
        return
    while left is None or left:
        piece = await reader.read(_CHUNK if left is None else min(left, _CHUNK))
        if not piece:
            return
        left = None if left is None else left - len(piece)
        yield piece


async def _chunks(reader: asyncio.StreamReader) -> AsyncIterator[bytes]:
    while True:
        line = await reader.readuntil(b"\r\n")
        size = int(line.partition(b";")[0], 16)
        if not size:
            yield line + await reader.readuntil(b"\r\n")
            return
        yield line
        left = size + 2
        while left:
            piece = await reader.read(min(left, _CHUNK))
            if not piece:
                raise EOFError
            left -= len(piece)
            yield piece


def _handed_over(answer: Head) -> bool:
    """Docker's attach, and websockets: from here on the connection is theirs."""
    return answer.first[1] == "101" or (
        answer.headers.get("content-type")
        in {
            "application/vnd.docker.raw-stream",
            "application/vnd.docker.multiplexed-stream",
        }
        and not answer.chunked
    )


def _reset(writer: asyncio.StreamWriter) -> None:
    """End it with RST: what is on its way is lost. A unix socket knows none, and is closed."""
    held = writer.get_extra_info("socket")
    with contextlib.suppress(OSError):
        if held is not None and held.family != socket.AF_UNIX:
            held.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, struct.pack("ii", 1, 0))
    writer.transport.abort()
