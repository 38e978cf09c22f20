"""A connection that a client forwards (RFC 4254, section 7.2), to a port of an app's process and to nothing else."""

import asyncio
from collections.abc import Awaitable, Callable, Coroutine, Mapping, Sequence
from dataclasses import dataclass

import asyncssh

from gitreceive.errors import ForbiddenError, UsageError
from gitreceive.model import AppName
from gitreceive.receive.programs import Start, running

Handler = Callable[["asyncssh.SSHReader[bytes]", "asyncssh.SSHWriter[bytes]"], Awaitable[None]]
_CHUNK = 64 << 10


@dataclass(frozen=True)
class Destination:
    """``web.1.shop`` is process web.1 of app shop; ``shop`` alone is its web."""

    instance: str
    app: AppName

    @classmethod
    def parse(cls, host: str) -> "Destination":
        """Raises ForbiddenError for a host that is none of these."""
        instance, _, app = host.rpartition(".")
        try:
            if instance.startswith("-"):
                raise UsageError("an option is no process")
            return cls(instance or "web", AppName.parse(app))
        except UsageError as error:
            raise ForbiddenError("connections are made to processes of apps only, as PROCESS.APP") from error


def speaking(
    command: Sequence[str],
    environment: Mapping[str, str],
    withdrawal: Coroutine[None, None, str],
    start: Start,
) -> Handler:
    """Who speaks on a connection: a program, on its standard input and output. It ends with the connection, and once ``withdrawal`` has
    something to say.
    """

    async def speak(reader: "asyncssh.SSHReader[bytes]", writer: "asyncssh.SSHWriter[bytes]") -> None:
        async with running(command, environment, start=start) as child:
            assert child.stdin
            assert child.stdout
            assert child.stderr
            tasks = [
                asyncio.ensure_future(work)
                for work in (_hear(child.stdout, writer), writer.channel.wait_closed(), withdrawal)
            ]
            others = [
                asyncio.ensure_future(work) for work in (_tell(reader, child.stdin), child.stderr.read())
            ]
            try:
                await asyncio.wait(tasks, return_when=asyncio.FIRST_COMPLETED)
            finally:
                for task in (*tasks, *others):
                    task.cancel()
                await asyncio.gather(*tasks, *others, return_exceptions=True)

    return speak


async def _tell(reader: "asyncssh.SSHReader[bytes]", program: asyncio.StreamWriter) -> None:
    try:
        while chunk := await reader.read(_CHUNK):
            program.write(chunk)
            await program.drain()
    finally:
        program.close()


async def _hear(program: asyncio.StreamReader, writer: "asyncssh.SSHWriter[bytes]") -> None:
    while chunk := await program.read(_CHUNK):
        writer.write(chunk)
        await writer.drain()
