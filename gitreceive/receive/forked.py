"""The command line as programs: each a child of one process that has it imported (``forkserver.py``), else a Python of its own.

A child of the fork server costs a few milliseconds and the memory that it alone writes to; a Python of its own half a second, and all of it.
"""

import asyncio
import logging
import os
import signal
import socket
import sys
from collections.abc import AsyncIterator, Mapping, Sequence
from contextlib import ExitStack, asynccontextmanager, suppress
from functools import partial

from gitreceive.config import Settings, process_environment
from gitreceive.errors import UnavailableError
from gitreceive.receive.forkserver import ENDED, LEAVING, WORD, request
from gitreceive.receive.programs import Child, executed

_PATIENCE = 60.0  # seconds in which a fork server, which may have all to import yet, has to make a child
_log = logging.getLogger(__name__)


class CommandLine:
    """What runs the commands of SSH users, until ``close``.

    ``words`` begin a command that is a program of its own; ``forking`` is the program of its fork server, to whose words the number of a descriptor is
    added. That is started with the first command, and again where it has ended: by itself when nobody asks for a while, or by somebody else.
    """

    def __init__(self, words: Sequence[str], forking: Sequence[str]) -> None:
        self._words = words
        self._forks = _ForkServer(forking)

    @classmethod
    def of(cls, settings: Settings) -> "CommandLine":
        """That of gitreceive."""
        python = (sys.executable, "-m")
        return cls((*python, "gitreceive"), (*python, "gitreceive.cli.forking", settings.target))

    @asynccontextmanager
    async def start(
        self, words: Sequence[str], environment: Mapping[str, str], place: int
    ) -> AsyncIterator[Child]:
        """A ``programs.Start``, whose words are the command's own. A fork server that makes no child costs nobody their command."""
        with ExitStack() as opened:
            try:
                child = await self._forks.start(words, environment, place, opened)
            except _NoForkError as error:
                _log.warning("a command gets a Python of its own: %s", error)
            else:
                yield child
                return
        async with executed([*self._words, *words], environment, place) as program:
            yield program

    async def close(self) -> None:
        """No command may run any more."""
        await self._forks.close()


class _NoForkError(Exception):
    """There is no child, and nobody has begun the command."""


class _ForkServer:
    """For one event loop."""

    def __init__(self, words: Sequence[str]) -> None:
        self._words = words
        self._process: asyncio.subprocess.Process | None = None
        self._control: socket.socket | None = None
        self._asking = asyncio.Lock()

    async def start(
        self, words: Sequence[str], environment: Mapping[str, str], place: int, opened: ExitStack
    ) -> "_Forked":
        """``opened`` closes the server's ends of what the child has. Raises UnavailableError, _NoForkError."""
        if any("\0" in text for text in (*words, *environment, *environment.values())):
            raise UnavailableError("a command cannot be run: there is a NUL in its words or its environment")
        channel, pid = await self._fork()
        try:
            child = _Forked(pid)
            opened.callback(child.close)
            with ExitStack() as theirs:
                files = await child.connect(theirs) if place == asyncio.subprocess.PIPE else [place] * 3
                head, body = request(words, environment)
                socket.send_fds(channel, [head], files)
                await asyncio.get_running_loop().sock_sendall(channel, body)
        except BaseException as error:
            channel.close()  # by which the child ends: it was not told all
            if isinstance(error, OSError):
                raise _NoForkError(error) from error
            raise
        child.listen(channel)
        return child

    async def close(self) -> None:
        async with self._asking:
            await self._end()

    async def _fork(self) -> tuple[socket.socket, int]:
        """A child's socket, and its number. It has begun nothing, and ends where its socket does."""
        async with self._asking:  # so that what is on its way to a fork server that has ended is one request
            try:
                return await self._ask()
            except (OSError, EOFError):  # it has ended since; or it does nothing any more
                await self._end()
            try:
                return await self._ask()
            except (OSError, EOFError) as error:
                await self._end()
                raise _NoForkError(f"the fork server makes no child: {error!r}") from error

    async def _ask(self) -> tuple[socket.socket, int]:
        control = await self._running()
        ours, theirs = socket.socketpair()
        try:
            ours.setblocking(False)
            with theirs:
                socket.send_fds(control, [b"f"], [theirs.fileno()])
            async with asyncio.timeout(_PATIENCE):
                _, pid = await _word(ours)
        except BaseException:
            ours.close()
            raise
        return ours, pid

    async def _running(self) -> socket.socket:
        """Where it is asked. It may have all to import yet. Raises OSError where it cannot be started."""
        if self._control:
            return self._control
        self._control, theirs = socket.socketpair()
        self._control.setblocking(False)
        with theirs:
            self._process = await asyncio.create_subprocess_exec(
                *self._words,
                str(theirs.fileno()),
                stdin=asyncio.subprocess.DEVNULL,
                stdout=asyncio.subprocess.DEVNULL,
                env=_without_ours(process_environment()),
                pass_fds=(theirs.fileno(),),
                start_new_session=True,
            )
        return self._control

    async def _end(self) -> None:
        """It has nothing to finish, and its children go on."""
        if self._control:
            self._control.close()
            self._control = None
        if self._process:
            with suppress(ProcessLookupError):
                self._process.kill()
            await self._process.wait()
            self._process = None


class _Forked:
    """A child of the fork server's."""

    def __init__(self, pid: int) -> None:
        self.pid = pid
        self.stdin: asyncio.StreamWriter | None = None
        self.stdout: asyncio.StreamReader | None = None
        self.stderr: asyncio.StreamReader | None = None
        self._reading: list[asyncio.ReadTransport] = []
        self._ended: asyncio.Task[int] | None = None

    async def connect(self, theirs: ExitStack) -> list[int]:
        """Make its pipes; the child's ends, which ``theirs`` closes."""
        loop = asyncio.get_running_loop()
        read, write = os.pipe()
        theirs.callback(os.close, read)
        reader = asyncio.StreamReader()
        writing, protocol = await loop.connect_write_pipe(
            lambda: asyncio.StreamReaderProtocol(reader), os.fdopen(write, "wb", buffering=0)
        )
        self.stdin = asyncio.StreamWriter(writing, protocol, reader, loop)
        files = [read]
        self.stdout, self.stderr = asyncio.StreamReader(), asyncio.StreamReader()
        for output in (self.stdout, self.stderr):
            read, write = os.pipe()
            theirs.callback(os.close, write)
            files.append(write)
            reading, _ = await loop.connect_read_pipe(
                partial(asyncio.StreamReaderProtocol, output), os.fdopen(read, "rb", buffering=0)
            )
            self._reading.append(reading)
        return files

    def listen(self, channel: socket.socket) -> None:
        self._ended = asyncio.create_task(_ended(channel))

    async def wait(self) -> int:
        assert self._ended
        return await asyncio.shield(self._ended)

    def close(self) -> None:
        if self.stdin and (not self.stdin.is_closing() or self.stdin.transport.get_write_buffer_size()):
            self.stdin.transport.abort()  # what nobody has read is not waited for
        for transport in self._reading:
            transport.close()
        if self._ended:
            self._ended.cancel()


async def _ended(channel: socket.socket) -> int:
    """How the child has ended, once it has."""
    with channel:
        leaving = -signal.SIGKILL  # what ends it and nobody tells of
        try:
            while True:
                said, number = await _word(channel)
                if said == ENDED:
                    return os.waitstatus_to_exitcode(number)
                if said == LEAVING:
                    leaving = number
        except (OSError, EOFError):
            return leaving


async def _word(channel: socket.socket) -> tuple[bytes, int]:
    """What is said next. Raises EOFError, OSError."""
    said = b""
    while len(said) < WORD.size:
        more = await asyncio.get_running_loop().sock_recv(channel, WORD.size - len(said))
        if not more:
            raise EOFError
        said += more
    kind, number = WORD.unpack(said)
    return kind, number


def _without_ours(environment: Mapping[str, str]) -> dict[str, str]:
    """What libraries read when they are imported, and no key: those are in variables of gitreceive's own, which each command is given."""
    return {name: text for name, text in environment.items() if not name.startswith("GITRECEIVE_")}
