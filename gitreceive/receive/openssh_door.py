"""The door behind OpenSSH's sshd: a socket, to which ``gitreceive openssh`` brings the sessions that sshd has let in.

sshd has checked that the client holds the key; whose it is, is looked up here, at each session, so that a key that was removed opens nothing
more, over no connection that stands open either. Whoever can use the socket is the server's own account, or root.
"""

import asyncio
import logging
import os
import struct
from collections.abc import Awaitable, Callable, Mapping
from contextlib import suppress

from gitreceive.acting import Actor
from gitreceive.config import Settings
from gitreceive.errors import ConfigError, GitreceiveError
from gitreceive.receive.hook import LONGEST_FRAME, frame
from gitreceive.receive.known_keys import KeyringLedger, actor_of_key
from gitreceive.receive.programs import SshClient
from gitreceive.receive.sessions import Address

Serve = Callable[[SshClient, Actor, Address], Awaitable[int]]

_REQUEST = 10.0  # seconds in which a request must be whole
_BACKLOG = 512
_log = logging.getLogger(__name__)


class OpensshDoor:
    """Open from ``open`` to ``close``."""

    def __init__(self, settings: Settings, keys: KeyringLedger, serve: Serve) -> None:
        self._settings = settings
        self._keys = keys
        self._serve = serve
        self._listener: asyncio.Server | None = None
        self._sessions: set[asyncio.Task[None]] = set()

    async def open(self) -> None:
        """Raises ConfigError where the socket cannot be made. One that a server has left behind is replaced."""
        path = self._settings.session_socket
        path.unlink(missing_ok=True)
        folder = os.open(path.parent, os.O_PATH | os.O_DIRECTORY)
        try:  # by the folder's descriptor, as a socket's path has room for 107 bytes only
            mask = os.umask(0o177)
            try:
                self._listener = await asyncio.start_unix_server(
                    self._welcome, f"/proc/self/fd/{folder}/{path.name}", backlog=_BACKLOG
                )
            finally:
                os.umask(mask)
        except OSError as error:
            raise ConfigError(f"{path} cannot be listened on: {error.strerror or error}") from error
        finally:
            os.close(folder)

    async def close(self, patience: float = 3.0) -> None:
        """Take no more sessions; give those that are open ``patience`` seconds to end, and then end them."""
        if self._listener:
            self._listener.close()
        self._settings.session_socket.unlink(missing_ok=True)
        if self._sessions:
            await asyncio.wait(self._sessions, timeout=patience)
        for session in self._sessions:
            session.cancel()
        await asyncio.gather(*self._sessions, return_exceptions=True)

    async def _welcome(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        session = asyncio.current_task()
        assert session
        self._sessions.add(session)
        try:
            if len(self._sessions) <= self._settings.limits.connections:
                await self._answer(reader, writer)
            else:
                _log.warning("a session over sshd is refused: there are too many")
                said = b"gitreceive: the server has too many connections; try again in a minute\n"
                writer.write(frame(b"2", said) + frame(b"x", b"7"))
                await writer.drain()
        except (ConnectionError, TimeoutError, asyncio.IncompleteReadError):
            _log.info("a session over sshd ended early")
        except Exception:  # noqa: BLE001  the edge: nobody above could tell the client
            _log.exception("a session over sshd failed")
        finally:
            self._sessions.discard(session)
            writer.close()

    async def _answer(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        asked = await asyncio.wait_for(_read_request(reader), _REQUEST)
        client = _Relayed(reader, writer, asked)
        reached, came_from = _addresses(asked.get("a", ""), self._settings.public_host)
        try:
            actor = await asyncio.to_thread(actor_of_key, self._keys, *client.key, came_from)
        except GitreceiveError:
            _log.exception("a key could not be looked up")
            actor = None
        if asked["verb"] == "l":
            code = 0 if actor else 1
        elif actor is None:
            client.stderr.write(b"gitreceive: this key is not known any more\n")
            code = 255
        else:
            code = await self._serve(client, actor, reached)
        writer.write(frame(b"x", b"%d" % code))
        await writer.drain()


class _Relayed:
    """The client at the other end of the socket, as the session runner knows one."""

    def __init__(
        self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter, asked: Mapping[str, str]
    ) -> None:
        self.command = asked.get("c")
        self.subsystem: str | None = None
        self.env: Mapping[str, str] = {"GIT_PROTOCOL": asked["p"]} if "p" in asked else {}
        self.stdin = _Input(reader)
        self.stdout = _Output(writer, b"1")
        self.stderr = _Output(writer, b"2")
        algorithm, _, blob = asked.get("k", "").partition(" ")
        self.key = algorithm, blob

    async def wait_closed(self) -> None:
        await self.stdin.wait_closed()


class _Input:
    def __init__(self, reader: asyncio.StreamReader) -> None:
        self._reader = reader
        self._ended = asyncio.Event()

    async def read(self, _n: int = -1, /) -> bytes:
        if self._ended.is_set():
            return b""
        try:
            kind, content = await _read_frame(self._reader)
        except (asyncio.IncompleteReadError, ConnectionError) as error:
            self._ended.set()
            raise ConnectionResetError from error
        if kind != b"i" or not content:
            self._ended.set()
        return content if kind == b"i" else b""

    async def wait_closed(self) -> None:
        """After the end of its input, all that can come of the client is that it goes."""
        await self._ended.wait()
        with suppress(ConnectionError):
            await self._reader.read(1)


class _Output:
    def __init__(self, writer: asyncio.StreamWriter, kind: bytes) -> None:
        self._writer = writer
        self._kind = kind

    def write(self, data: bytes, /) -> None:
        self._writer.write(frame(self._kind, data))

    async def drain(self) -> None:
        await self._writer.drain()


def _addresses(said: str, public_host: str) -> tuple[Address, str]:
    """Where the client has reached sshd, and from where."""
    account, host, port, came_from = said.split(" ")
    return Address(public_host or host or "localhost", int(port), account), came_from


async def _read_request(reader: asyncio.StreamReader) -> dict[str, str]:
    """What was said, by letter, and the ``verb`` at its end. Raises IncompleteReadError, ConnectionError."""
    asked: dict[str, str] = {}
    while "verb" not in asked:
        kind, content = await _read_frame(reader)
        if kind in (b"s", b"l"):
            asked["verb"] = kind.decode()
        elif kind in (b"k", b"c", b"p", b"a"):
            asked[kind.decode()] = content.decode("utf-8", "surrogateescape")
        else:
            raise ConnectionAbortedError
    return asked


async def _read_frame(reader: asyncio.StreamReader) -> tuple[bytes, bytes]:
    kind, length = struct.unpack(">cI", await reader.readexactly(5))
    if length > LONGEST_FRAME:
        raise ConnectionAbortedError
    return kind, await reader.readexactly(length)
