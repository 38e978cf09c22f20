"""Programs that speak with a client: started, connected, and ended with it."""

import asyncio
import os
import signal
import time
from collections.abc import AsyncIterator, Callable, Coroutine, Mapping, Sequence
from contextlib import AbstractAsyncContextManager, asynccontextmanager, suppress
from typing import Protocol

import asyncssh

from gitreceive.errors import ForbiddenError, UnavailableError, UsageError
from gitreceive.receive.sessions import Session

_CHUNK = 64 << 10
SILENCE = 600.0  # seconds that a client may send nothing while its push is being received
_RECEIVING = 3600.0  # seconds that receiving may take
_GRACE = 5.0  # seconds from a signal to the next, harder one


class Source(Protocol):
    """What a client sends."""

    async def read(self, n: int = -1, /) -> bytes:
        """What has come, and about ``n`` bytes at most; none at the end. Raises ConnectionError where the client has gone, UsageError
        where what it sends makes no sense.
        """


class Sink(Protocol):
    """What a client is sent."""

    def write(self, data: bytes, /) -> None: ...

    async def drain(self) -> None:
        """Wait until there is room for more. Raises ConnectionError where the client has gone."""


class Client(Protocol):
    """Whoever is on the other side of a door."""

    @property
    def stdin(self) -> Source: ...

    @property
    def stdout(self) -> Sink: ...

    @property
    def stderr(self) -> Sink: ...

    async def wait_closed(self) -> None:
        """Returns once nobody is there any more."""


class SshClient(Client, Protocol):
    """A session of SSH, as asyncssh describes one."""

    @property
    def command(self) -> str | None: ...

    @property
    def subsystem(self) -> str | None: ...

    @property
    def env(self) -> Mapping[str, str]: ...


class Clock:
    """How long the client of a push may take. Once all is received, the build's own limits rule."""

    def __init__(self, session: Session | None = None) -> None:
        self._session = session
        self._began = self._last = time.monotonic()

    def tick(self) -> None:
        self._last = time.monotonic()

    def stop(self) -> None:
        """The client is gone, or was too slow: what it sent is not acted upon any more."""
        if self._session:
            self._session.gone.set()

    @property
    def run_out(self) -> bool:
        if self._session is None or self._session.received.is_set():
            return False
        now = time.monotonic()
        return now - self._last > SILENCE or now - self._began > _RECEIVING


class Child(Protocol):
    """A program that was started. ``stdin``, ``stdout`` and ``stderr``: its pipes, where it was given such."""

    @property
    def pid(self) -> int:
        """Also the number of its process group."""

    @property
    def stdin(self) -> asyncio.StreamWriter | None: ...

    @property
    def stdout(self) -> asyncio.StreamReader | None: ...

    @property
    def stderr(self) -> asyncio.StreamReader | None: ...

    async def wait(self) -> int:
        """Its exit code, once it has ended; by a signal, the signal's number below 0."""


# A way to start a program: its words, its whole environment, and PIPE or one descriptor that is all three of its standard files. The program is in
# a session of its own, and is ended by whoever started it before they leave the context. Raises UnavailableError where it cannot be run.
Start = Callable[[Sequence[str], Mapping[str, str], int], AbstractAsyncContextManager[Child]]


@asynccontextmanager
async def executed(
    command: Sequence[str], environment: Mapping[str, str], place: int
) -> AsyncIterator[Child]:
    """The usual ``Start``: the first word is the program's file."""
    try:
        child = await asyncio.create_subprocess_exec(
            *command, stdin=place, stdout=place, stderr=place, env=environment, start_new_session=True
        )
    except (OSError, ValueError) as error:
        raise UnavailableError(f"{command[0]} cannot be run: {error}") from error
    yield child


@asynccontextmanager
async def running(
    command: Sequence[str],
    environment: Mapping[str, str],
    patience: Callable[[], float] = float,
    start: Start = executed,
) -> AsyncIterator[Child]:
    """A program in a process group of its own, which is gone when the context is left, however it is left: at the end of its
    input, for which it gets ``patience`` seconds, at SIGTERM, or at SIGKILL. Raises UnavailableError where it cannot be run.
    """
    async with start(command, environment, asyncio.subprocess.PIPE) as child:
        try:
            yield child
        finally:
            await end(child, patience())


async def end(child: Child, patience: float) -> None:
    """See that it has ended: by itself within ``patience`` seconds, or by a signal, or by a harder one."""
    if child.stdin:
        child.stdin.close()
    if await _ended(child, patience):
        return
    for signal_number in (signal.SIGTERM, signal.SIGKILL):
        with suppress(ProcessLookupError):
            os.killpg(child.pid, signal_number)
        if await _ended(child, _GRACE):
            return


async def _ended(child: Child, seconds: float) -> bool:
    try:
        await asyncio.wait_for(child.wait(), seconds)
    except TimeoutError:
        return False
    return True


async def connect(
    client: Client,
    child: Child,
    clock: Clock,
    withdrawal: Coroutine[None, None, str],
    passed_on: Callable[[bytes], bytes] = bytes,
) -> int:
    """Carry bytes both ways until the program ends; its exit code. 255 where the client went away or was too slow.

    Raises ForbiddenError once ``withdrawal`` says why the client may go on no longer.
    """
    assert child.stdin
    assert child.stdout
    assert child.stderr
    stdin = asyncio.create_task(_feed(client, child.stdin, clock, passed_on))
    outputs = asyncio.create_task(_drain_both(child.stdout, child.stderr, client))
    gone = asyncio.create_task(_gone(client, clock))
    withdrawn = asyncio.create_task(withdrawal)
    try:
        await asyncio.wait([outputs, gone, withdrawn], return_when=asyncio.FIRST_COMPLETED)
        if not outputs.done():
            clock.stop()
            if withdrawn.done():
                raise ForbiddenError(
                    withdrawn.result(), hint="a build that was begun goes on: it is the server's"
                )
            return 255
        outputs.result()
        code = await child.wait()
        return code if code >= 0 else 128 - code
    finally:
        for task in (stdin, outputs, gone, withdrawn):
            task.cancel()
        await asyncio.gather(stdin, outputs, gone, withdrawn, return_exceptions=True)


async def _feed(
    client: Client, stdin: asyncio.StreamWriter, clock: Clock, passed_on: Callable[[bytes], bytes]
) -> None:
    try:
        while chunk := await client.stdin.read(_CHUNK):
            clock.tick()
            stdin.write(passed_on(chunk))
            await stdin.drain()
    except UsageError as error:
        client.stderr.write(f"gitreceive: {error.message}\n".encode())
    except (ConnectionError, asyncssh.Error, asyncssh.SignalReceived, asyncssh.BreakReceived):
        pass  # the program has read enough, or the client has gone: either is seen elsewhere
    finally:
        stdin.close()


async def _drain_both(stdout: asyncio.StreamReader, stderr: asyncio.StreamReader, client: Client) -> None:
    await asyncio.gather(_drain(stdout, client.stdout), _drain(stderr, client.stderr))


async def _drain(output: asyncio.StreamReader, sink: Sink) -> None:
    while chunk := await output.read(_CHUNK):
        sink.write(chunk)
        await sink.drain()


async def _gone(client: Client, clock: Clock) -> None:
    """Returns once nobody is there any more."""
    closed = asyncio.create_task(client.wait_closed())
    try:
        while not closed.done() and not clock.run_out:
            await asyncio.wait([closed], timeout=1.0)
    finally:
        closed.cancel()
