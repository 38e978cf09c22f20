"""One request as a client of a CGI program (RFC 3875): its body in, the program's output out, each as it comes.

Nothing is kept: what the program does not read is not taken from the network, and what the client does not read is not taken from the
program.
"""

import asyncio
import logging
import zlib
from collections.abc import Awaitable, Callable, MutableMapping
from typing import Any

from gitreceive.errors import UsageError
from gitreceive.receive.programs import SILENCE

Message = MutableMapping[str, Any]
Receive = Callable[[], Awaitable[Message]]
Send = Callable[[Message], Awaitable[None]]

_LONGEST_HEADER = 8 << 10
_LONGEST_COMPLAINT = 4 << 10
_CUT_OFF = 255
_log = logging.getLogger(__name__)


class CgiClient:
    """What ``programs.connect`` takes for a client. Raises UsageError for a body that is encoded otherwise than by gzip."""

    def __init__(self, receive: Receive, response: "Response", encoding: str = "") -> None:
        if encoding not in ("", "identity", "gzip", "x-gzip"):
            raise UsageError(f"the body is encoded by {encoding[:40]!r}", hint="send it as it is, or by gzip")
        body = Body(receive)
        self._body = body
        self.stdin = Inflated(body) if encoding.endswith("gzip") else body
        self.stdout = response
        self.stderr = Complaints()

    async def wait_closed(self) -> None:
        await self._body.wait_closed()

    async def end(self, code: int) -> None:
        """Say the last of what the program said. One that failed without a word is told of here, by what it complained of. ``code`` 255
        is a client that went away, or was too slow. Raises ConnectionError where the answer cannot be ended well.
        """
        if code == _CUT_OFF:
            await self._cut_off()
            return
        if code and not self.stdout.spoken:
            _log.warning("git ended with %d: %s", code, self.stderr.text)
            await self.stdout.say(400 if self.stderr.text else 500, self.stderr.text or "git failed\n")
            return
        if code:
            _log.info("git ended with %d: %s", code, self.stderr.text)
        await self._body.drop()  # a client that is still sending would miss the answer
        await self.stdout.end()

    async def _cut_off(self) -> None:
        if self._body.gone or self.stdout.spoken:
            raise ConnectionAbortedError
        await self.stdout.say(408, "the request took too long\n")


class Body:
    """The body as it was sent."""

    def __init__(self, receive: Receive) -> None:
        self._receive = receive
        self._whole = asyncio.Event()
        self.gone = False

    async def read(self, _n: int = -1, /) -> bytes:
        """What has come: the server that hands it out holds no more than some 64 KiB."""
        while not self._whole.is_set():
            message = await self._receive()
            if message["type"] == "http.disconnect":
                self.gone = True
            if self.gone or not message.get("more_body", False):
                self._whole.set()
            if self.gone:
                raise ConnectionResetError
            chunk: bytes = message.get("body", b"")
            if chunk:
                return chunk
        return b""

    async def drop(self) -> None:
        """Read what is left of it and forget it. A client that stops sending is not waited for."""
        try:
            while await asyncio.wait_for(self.read(), SILENCE):
                pass
        except (TimeoutError, ConnectionError):
            self._whole.set()

    async def wait_closed(self) -> None:
        """Until the body is whole, whoever reads it sees that the client goes; after that it is seen here."""
        await self._whole.wait()
        while not self.gone:
            self.gone = (await self._receive())["type"] == "http.disconnect"


class Inflated:
    """A body that was sent by gzip (RFC 1952), as git does with what it asks for when it fetches."""

    def __init__(self, body: Body) -> None:
        self._body = body
        self._inflate = zlib.decompressobj(16 + zlib.MAX_WBITS)

    async def read(self, n: int = -1, /) -> bytes:
        most = n if n > 0 else 1 << 16
        try:
            while not self._inflate.eof:
                sent = self._inflate.unconsumed_tail or await self._body.read()
                inflated = self._inflate.decompress(sent, most)
                if inflated:
                    return inflated
                if not sent:
                    raise UsageError("the body ends in the middle", hint="send it again")
        except zlib.error as error:
            raise UsageError(f"the body is not what gzip makes: {error}") from error
        return b""


class Response:
    """The header waits for the first of the body, so that a program that fails before it can be told of by a status."""

    def __init__(self, send: Send) -> None:
        self._send = send
        self._header: tuple[int, list[tuple[bytes, bytes]]] | None = None
        self._held = b""
        self.spoken = False

    def write(self, data: bytes, /) -> None:
        self._held += data

    async def drain(self) -> None:
        """Raises ConnectionError where the client does not read any more, UsageError where this is no CGI program's output."""
        if self._header is None:
            header, blank, rest = self._held.partition(b"\r\n\r\n")
            if not blank:
                if len(header) > _LONGEST_HEADER:
                    raise UsageError("git's answer has no header")
                return
            self._header, self._held = _header(header), rest
        if self._held:
            chunk, self._held = self._held, b""
            await self._begin()
            await self.add(chunk)

    async def add(self, chunk: bytes) -> None:
        """To an answer that has begun."""
        await self._pass({"type": "http.response.body", "body": chunk, "more_body": True})

    @property
    def media(self) -> bytes:
        """The type of the program's answer; empty where it has none yet."""
        return dict(self._header[1]).get(b"content-type", b"") if self._header else b""

    async def end(self) -> None:
        if self._header is None:
            await self.say(500, "git gave no answer\n")
            return
        await self._begin()
        await self._pass({"type": "http.response.body", "body": b""})

    async def say(self, status: int, text: str, headers: tuple[tuple[bytes, bytes], ...] = ()) -> None:
        """An answer of the door's own: plain text, which git shows to its user."""
        self.spoken = True
        body = text.encode("utf-8", "replace")
        plain = (
            (b"content-type", b"text/plain; charset=utf-8"),
            (b"cache-control", b"no-store"),
            (b"content-length", b"%d" % len(body)),
        )
        await self._pass({"type": "http.response.start", "status": status, "headers": [*plain, *headers]})
        await self._pass({"type": "http.response.body", "body": body})

    async def _begin(self) -> None:
        if self.spoken or self._header is None:
            return
        self.spoken = True
        status, headers = self._header
        # nginx would hold the log back until 4 KiB of it had come
        headers = [*headers, (b"x-accel-buffering", b"no")]
        await self._pass({"type": "http.response.start", "status": status, "headers": headers})

    async def _pass(self, message: Message) -> None:
        try:
            await asyncio.wait_for(self._send(message), SILENCE)
        except TimeoutError as error:
            raise ConnectionAbortedError from error


class Complaints:
    """The last that a program said on stderr, which no client of a CGI program sees."""

    def __init__(self) -> None:
        self._said = b""

    def write(self, data: bytes, /) -> None:
        self._said = (self._said + data)[-_LONGEST_COMPLAINT:]

    async def drain(self) -> None:
        return

    @property
    def text(self) -> str:
        return self._said.decode("utf-8", "replace")


def _header(text: bytes) -> tuple[int, list[tuple[bytes, bytes]]]:
    """Status and header fields (RFC 3875, 6.3)."""
    status, headers = 200, []
    for line in text.split(b"\r\n"):
        name, _, value = line.partition(b":")
        if name.strip().lower() == b"status":
            status = int(value.split()[0])
        else:
            headers.append((name.strip().lower(), value.strip()))
    return status, headers
