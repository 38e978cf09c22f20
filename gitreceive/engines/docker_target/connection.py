"""One client's connection through the forwarder."""

import asyncio
from collections.abc import Sequence
from contextlib import suppress
from dataclasses import dataclass
from typing import Protocol

from gitreceive.engines.docker_target.conversation import Conversation

Address = tuple[str, int]

_CHUNK = 65536
_SILENCE_SECONDS = 75.0  # of a client that is attached to no container
_CONNECT_SECONDS = 2.0
_RETRY_SECONDS = 5.0  # a container that crashed is started again by Docker; its clients wait that long
_LINGER_SECONDS = (
    2.0  # in which a client may say the rest of what it began: cut off, it would not read its answer
)
_LINGER_BYTES = 1 << 20


@dataclass(frozen=True)
class Notice:
    """What clients are told in place of the app's answer, with 503."""

    body: bytes
    retry_seconds: int
    content_type: str = "text/plain; charset=utf-8"

    def answer(self, request: bytes) -> bytes:
        """The whole answer (RFC 9110, 15.6.4) to what begins so."""
        head = (
            b"HTTP/1.1 503 Service Unavailable\r\nContent-Type: %s\r\nConnection: close\r\nCache-Control: no-store\r\n"
            b"Retry-After: %d\r\nContent-Length: %d\r\n\r\n"
        ) % (self.content_type.encode("ascii"), self.retry_seconds, len(self.body))
        return head if request.startswith(b"HEAD ") else head + self.body


UNAVAILABLE = Notice(b"the app does not answer\n", 5)


class Serving(Protocol):
    """The containers that serve at the moment."""

    addresses: tuple[Address, ...]
    notice: Notice | None  # None: who asks is led to a container

    def in_turn(self) -> Sequence[Address]:
        """All addresses, each time beginning with the next one."""


class Connection:
    """Carries bytes between a client and one of the containers that serve, which may change at any time.

    A container is chosen when the client speaks first, and again between two requests when the one at hand is not among
    them any more: the client sees nothing of it. Each side is read only as fast as the other one takes it.
    """

    def __init__(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter, serving: Serving) -> None:
        self.address: Address | None = None
        self._reader = reader
        self._writer = writer
        self._serving = serving
        self._conversation = Conversation()
        self._container: asyncio.StreamWriter | None = None
        self._answers: asyncio.Task[None] | None = None
        self._silence: asyncio.Timeout | None = None

    async def carry(self) -> None:
        """Return when either side is done; both are closed then."""
        try:
            with suppress(OSError):
                await self._carry()
        finally:
            if self._answers is not None:
                self._answers.cancel()
            for writer in (self._writer, self._container):
                if writer is not None:
                    writer.close()

    def move(self) -> None:
        """Let go of the container if it is to serve no more and no request is under way."""
        if self._conversation.between_requests and self.address not in self._serving.addresses:
            self._let_go()

    def abort(self) -> None:
        """Cut both sides."""
        for writer in (self._writer, self._container):
            if writer is not None:
                writer.transport.abort()

    async def _carry(self) -> None:
        while chunk := await self._heard():
            self.move()
            container = self._container or await self._connect()
            self._conversation.from_client(chunk)
            if container is None:
                await self._tell(self._serving.notice or UNAVAILABLE, chunk)
                return
            container.write(chunk)
            await container.drain()
        if self._container is not None and self._answers is not None:
            self._container.write_eof()
            await self._answers

    async def _heard(self) -> bytes:
        limit = None if self._container else _SILENCE_SECONDS
        try:
            async with asyncio.timeout(limit) as self._silence:
                return await self._reader.read(_CHUNK)
        finally:
            self._silence = None

    async def _connect(self) -> asyncio.StreamWriter | None:
        loop = asyncio.get_running_loop()
        end = loop.time() + _RETRY_SECONDS
        while self._serving.notice is None:
            for address in self._serving.in_turn():
                with suppress(OSError):
                    async with asyncio.timeout(_CONNECT_SECONDS):
                        reader, writer = await asyncio.open_connection(*address)
                    self.address, self._container = address, writer
                    self._answers = loop.create_task(self._answer(reader))
                    return writer
            if loop.time() >= end:
                break
            await asyncio.sleep(0.1)
        return None

    async def _answer(self, container: asyncio.StreamReader) -> None:
        """Bring the container's bytes to the client."""
        try:
            while chunk := await container.read(_CHUNK):
                self._conversation.from_server(chunk)
                self._writer.write(chunk)
                await self._writer.drain()
                self.move()
                if self._container is None:
                    return
        except OSError:
            self.abort()
        else:
            self._writer.close()

    def _let_go(self) -> None:
        if self._container is not None:
            self._container.close()
        if self._answers is not None and self._answers is not asyncio.current_task():
            self._answers.cancel()
        self.address = self._container = self._answers = None
        if self._silence is not None and not self._silence.expired():
            self._silence.reschedule(asyncio.get_running_loop().time() + _SILENCE_SECONDS)

    async def _tell(self, notice: Notice, request: bytes) -> None:
        if not self._conversation.understood:
            return
        self._writer.write(notice.answer(request))
        await self._writer.drain()
        self._writer.write_eof()
        with suppress(TimeoutError):
            async with asyncio.timeout(_LINGER_SECONDS):
                left = _LINGER_BYTES
                while left > 0 and (chunk := await self._reader.read(_CHUNK)):
                    left -= len(chunk)
