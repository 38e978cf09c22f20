"""Commands in a terminal of the server's, whose size and modes are those of the client's (RFC 4254, sections 6.2, 6.7 and 8)."""

import asyncio
import errno
import fcntl
import os
import struct
import termios
from collections.abc import AsyncIterator, Coroutine, Mapping, Sequence
from contextlib import AsyncExitStack, asynccontextmanager
from typing import Any, TypeGuard

import asyncssh
from asyncssh import constants

from gitreceive.errors import ForbiddenError
from gitreceive.model import Terminal
from gitreceive.receive.programs import Child, Client, Start, end

Process = asyncssh.SSHServerProcess[bytes]

_CHUNK = 32768
_AFTERWARDS_SECONDS = 1.0  # in which what was written last is read
_CHARACTERS = {
    "VINTR": "VINTR", "VQUIT": "VQUIT", "VERASE": "VERASE", "VKILL": "VKILL", "VEOF": "VEOF", "VEOL": "VEOL",
    "VEOL2": "VEOL2", "VSTART": "VSTART", "VSTOP": "VSTOP", "VSUSP": "VSUSP", "VREPRINT": "VREPRINT",
    "WERASE": "VWERASE", "VLNEXT": "VLNEXT", "VDISCARD": "VDISCARD",
}  # fmt: skip
_FLAGS = (
    ("IGNPAR", "PARMRK", "INPCK", "ISTRIP", "INLCR", "IGNCR", "ICRNL", "IXON", "IXANY", "IXOFF", "IMAXBEL"),
    ("OPOST", "ONLCR", "OCRNL", "ONOCR", "ONLRET"),
    (),
    ("ISIG", "ICANON", "ECHO", "ECHOE", "ECHOK", "ECHONL", "NOFLSH", "TOSTOP", "IEXTEN", "ECHOCTL", "ECHOKE"),
)  # of input, output, control and the line, as tcgetattr(3) orders them
_DISABLED = 255  # of a character (RFC 4254, section 8)


@asynccontextmanager
async def in_terminal(
    process: Process, command: Sequence[str], environment: Mapping[str, str], start: Start
) -> AsyncIterator["Screen"]:
    """The command runs inside, and has ended afterwards: hung up, then by a signal, then by a harder one."""
    columns, rows = process.term_size[:2]
    wanted = Terminal.of(process.term_type or "", columns, rows)
    master, slave = os.openpty()
    screen = Screen(process, master)
    async with AsyncExitStack() as started:
        started.callback(screen.hang_up)
        try:
            _resize(slave, wanted.columns, wanted.rows)
            attributes: Any = termios.tcgetattr(slave)
            termios.tcsetattr(slave, termios.TCSANOW, _with_modes(attributes, process.term_modes))
            given = {**environment, "TERM": wanted.name}
            child = await started.enter_async_context(start(command, given, slave))
        finally:
            os.close(slave)
        try:
            yield screen.of(child)
        finally:
            screen.hang_up()
            await end(child, 0.0)


class Screen:
    """The server's side of a terminal, and the client on whose screen it is to be seen."""

    def __init__(self, process: Process, master: int) -> None:
        self._process = process
        self._master = master
        self._child: Child | None = None
        os.set_blocking(master, False)

    def of(self, child: Child) -> "Screen":
        self._child = child
        return self

    async def connect(self, withdrawal: Coroutine[None, None, str]) -> int:
        """Carry bytes both ways until the command ends; its exit code, or 255 where the client went away.

        Raises ForbiddenError once ``withdrawal`` says why the client may go on no longer.
        """
        assert self._child
        keys = asyncio.create_task(self._type())
        shown = asyncio.create_task(self._show())
        ended = asyncio.create_task(self._child.wait())
        gone = asyncio.create_task(self._process.channel.wait_closed())
        withdrawn = asyncio.create_task(withdrawal)
        try:
            await asyncio.wait([ended, gone, withdrawn], return_when=asyncio.FIRST_COMPLETED)
            if not ended.done():
                if withdrawn.done():
                    raise ForbiddenError(withdrawn.result())
                return 255
            # what it left running may have the terminal open still
            await asyncio.wait([shown], timeout=_AFTERWARDS_SECONDS)
            code = ended.result()
            return code if code >= 0 else 128 - code
        finally:
            for task in (keys, shown, ended, gone, withdrawn):
                task.cancel()
            await asyncio.gather(keys, shown, ended, gone, withdrawn, return_exceptions=True)

    def hang_up(self) -> None:
        """Closing the terminal sends SIGHUP to those in it."""
        if self._master >= 0:
            os.close(self._master)
            self._master = -1

    async def _type(self) -> None:
        while True:
            try:
                chunk = await self._process.stdin.read(_CHUNK)
                if not chunk:
                    return
                await self._write(chunk)
            except asyncssh.TerminalSizeChanged as change:
                size = Terminal.of("", change.width, change.height)
                _resize(self._master, size.columns, size.rows)
            except (asyncssh.SignalReceived, asyncssh.BreakReceived):
                continue
            except (OSError, asyncssh.Error):
                return

    async def _show(self) -> None:
        while chunk := await self._read():
            self._process.stdout.write(chunk)
            await self._process.stdout.drain()

    async def _read(self) -> bytes:
        """Some of the output; none once nobody has the terminal open."""
        while True:
            try:
                return os.read(self._master, _CHUNK)
            except BlockingIOError:
                await _ready(self._master, writing=False)
            except OSError as error:
                if error.errno == errno.EIO:
                    return b""
                raise

    async def _write(self, chunk: bytes) -> None:
        while chunk:
            try:
                chunk = chunk[os.write(self._master, chunk) :]
            except BlockingIOError:
                await _ready(self._master, writing=True)


def on_terminal(client: Client) -> TypeGuard[Process]:
    """The client has asked for one. Only the embedded door can give it."""
    return isinstance(client, asyncssh.SSHServerProcess) and client.term_type is not None


def shown(client: Client, text: str) -> bytes:
    """For a client whose own terminal is raw, as it asked for another one here, lines end where they begin."""
    return (text.replace("\n", "\r\n") if on_terminal(client) else text).encode("utf-8", "replace")


async def _ready(descriptor: int, *, writing: bool) -> None:
    loop = asyncio.get_running_loop()
    future: asyncio.Future[None] = loop.create_future()
    add, remove = (loop.add_writer, loop.remove_writer) if writing else (loop.add_reader, loop.remove_reader)

    def now() -> None:
        if not future.done():
            future.set_result(None)

    add(descriptor, now)
    try:
        await future
    finally:
        remove(descriptor)


def _with_modes(attributes: list[Any], modes: Mapping[int, int]) -> list[Any]:
    """What is not said of, and what this system does not know, stays."""
    flags: list[int] = attributes[:4]
    for place, names in enumerate(_FLAGS):
        for name in names:
            opcode, mask = getattr(constants, f"PTY_{name}"), getattr(termios, name, 0)
            if opcode in modes:
                flags[place] = flags[place] | mask if modes[opcode] else flags[place] & ~mask
    characters = list(attributes[6])
    for theirs, ours in _CHARACTERS.items():
        value = modes.get(getattr(constants, f"PTY_{theirs}"))
        if value is not None:
            characters[getattr(termios, ours)] = b"\0" if value == _DISABLED else bytes([value & 0xFF])
    return [*flags, *attributes[4:6], characters]


def _resize(terminal: int, columns: int, rows: int) -> None:
    fcntl.ioctl(terminal, termios.TIOCSWINSZ, struct.pack("HHHH", rows, columns, 0, 0))
