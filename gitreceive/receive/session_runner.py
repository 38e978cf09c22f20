"""What runs behind the SSH door: git's own programs, the command line, or a greeting."""

import asyncio
import os
import signal
import sys
import time
from collections.abc import AsyncIterator, Mapping, Sequence
from contextlib import asynccontextmanager, suppress
from dataclasses import dataclass

import asyncssh

from gitreceive.access import check_push, check_read
from gitreceive.config import Settings, process_environment, repository_path
from gitreceive.engines.git_store import run_git
from gitreceive.errors import ConflictError, NotFoundError, UnavailableError
from gitreceive.model import App, AppName, User
from gitreceive.ports import AppLedger, SourceStore
from gitreceive.receive.commands import CliCommand, GitCommand, Greeting, git_protocol, parse
from gitreceive.receive.git_process import git_service, limit, service_environment
from gitreceive.receive.sessions import Address, Session, Sessions

Process = asyncssh.SSHServerProcess[bytes]

_CHUNK = 64 << 10
_SILENCE = 600.0  # seconds that a client may send nothing while its push is being received
_RECEIVING = 3600.0  # seconds that receiving may take
_GRACE = 5.0  # seconds from asking a program to end to ending it


@dataclass(frozen=True)
class SessionRunner:
    """Called with each session of an authenticated user; the exit code is for the client.

    ``cli`` is the command line's first words; a command's own are added to it.
    """

    settings: Settings
    apps: AppLedger
    sources: SourceStore
    sessions: Sessions
    hook_socket: str
    cli: tuple[str, ...] = (sys.executable, "-m", "gitreceive")

    async def __call__(self, process: Process, user: User, address: Address) -> int:
        """Raises GitreceiveError on what the client may not, or what is not understood."""
        if process.subsystem is not None:
            process.stderr.write(b"gitreceive: no subsystem is served\n")
            return 2
        match parse(process.command):
            case Greeting():
                process.stdout.write(_greeting(user, address).encode())
                return 0
            case CliCommand(argv):
                return await self._command(process, user, argv)
            case GitCommand("receive-pack", name):
                return await self._receive(process, user, name, address)
            case GitCommand(_, name):
                app = await asyncio.to_thread(self._readable, user, name, address)
                return await self._upload(process, app)

    async def _command(self, process: Process, user: User, argv: tuple[str, ...]) -> int:
        environment = {
            **process_environment(),
            "GITRECEIVE_DATA_DIR": str(self.settings.data_dir),
            "GITRECEIVE_ACTING_USER": str(user.name),
        }
        async with _child([*self.cli, *argv], environment) as child:
            return await _connect(process, child, Clock())

    async def _upload(self, process: Process, app: App) -> int:
        repository = repository_path(self.settings, app.name)
        command = git_service("upload-pack", repository, self.settings)
        async with _child(command, service_environment(_protocol(process), {})) as child:
            limit(child.pid)
            return await _connect(process, child, Clock())

    async def _receive(self, process: Process, user: User, name: AppName, address: Address) -> int:
        app = await asyncio.to_thread(self._writable, user, name, address)
        repository = repository_path(self.settings, app.name)
        session = Session(user.name, app, repository, address)
        command = git_service("receive-pack", repository, self.settings)
        with self.sessions.opened(session) as token:
            hooks = {"GITRECEIVE_HOOK_SOCKET": self.hook_socket, "GITRECEIVE_SESSION": token}
            async with _child(command, service_environment(_protocol(process), hooks)) as child:
                limit(child.pid)
                return await _connect(process, child, Clock(session))

    def _writable(self, user: User, name: AppName, address: Address) -> App:
        app = self._app(user, name, address)
        check_push(user, app)
        return self._with_repository(app)

    def _readable(self, user: User, name: AppName, address: Address) -> App:
        try:
            app = self.apps.app(name)
        except NotFoundError as error:
            raise _unknown(name, address) from error
        check_read(user, app)
        return self._with_repository(app)

    def _app(self, user: User, name: AppName, address: Address) -> App:
        try:
            return self.apps.app(name)
        except NotFoundError as error:
            if not self.settings.policy.create_on_push:
                raise _unknown(name, address) from error
        try:
            return self.apps.create_app(name, user.name, self.settings.policy.branch)
        except ConflictError:
            return self.apps.app(name)  # another push was first

    def _with_repository(self, app: App) -> App:
        """Its HEAD is the branch that deploys, so that a clone checks out what runs."""
        self.sources.create(app.name)
        repository = repository_path(self.settings, app.name)
        if (repository / "HEAD").read_text("ascii").strip() != f"ref: {app.deploy_ref}":
            run_git(["symbolic-ref", "HEAD", app.deploy_ref], repository=repository)
        return app


def _unknown(name: AppName, address: Address) -> NotFoundError:
    return NotFoundError(f"there is no app {name}", hint=f"to create it: {address.ssh} apps create {name}")


def _protocol(process: Process) -> str | None:
    """All else that the client sets is dropped."""
    return git_protocol(process.env.get("GIT_PROTOCOL"))


def _greeting(user: User, address: Address) -> str:
    return (
        f"Hello {user.name}{' (administrator)' if user.admin else ''}, this is gitreceive.\n"
        f"  to deploy:   git push {address.remote('APP')} BRANCH\n"
        f"  to do more:  {address.ssh} help\n"
    )


# --- programs, and their bytes ------------------------------------------------------------------------------------------


class Clock:
    """How long the client of a push may take. Once all is received, the build's own limits rule."""

    def __init__(self, session: Session | None = None) -> None:
        self._session = session
        self._began = self._last = time.monotonic()

    def tick(self) -> None:
        self._last = time.monotonic()

    @property
    def run_out(self) -> bool:
        if self._session is None or self._session.received.is_set():
            return False
        now = time.monotonic()
        return now - self._last > _SILENCE or now - self._began > _RECEIVING


@asynccontextmanager
async def _child(
    command: Sequence[str], environment: Mapping[str, str]
) -> AsyncIterator[asyncio.subprocess.Process]:
    """A program in a process group of its own, which is gone when the context is left, however it is left."""
    pipe = asyncio.subprocess.PIPE
    try:
        child = await asyncio.create_subprocess_exec(
            *command, stdin=pipe, stdout=pipe, stderr=pipe, env=environment, start_new_session=True
        )
    except (OSError, ValueError) as error:
        raise UnavailableError(f"{command[0]} cannot be run: {error}") from error
    try:
        yield child
    finally:
        await _end(child)


async def _end(child: asyncio.subprocess.Process) -> None:
    """SIGTERM, on which git removes what it has half received; SIGKILL where that is not heard."""
    if child.returncode is not None:
        return
    with suppress(ProcessLookupError):
        os.killpg(child.pid, signal.SIGTERM)
    try:
        await asyncio.wait_for(child.wait(), _GRACE)
    except TimeoutError:
        with suppress(ProcessLookupError):
            os.killpg(child.pid, signal.SIGKILL)
        await child.wait()


async def _connect(process: Process, child: asyncio.subprocess.Process, clock: Clock) -> int:
    """Carry bytes both ways until the program ends; its exit code. 255 where the client went away or was too slow."""
    assert child.stdin
    assert child.stdout
    assert child.stderr
    stdin = asyncio.create_task(_feed(process, child.stdin, clock))
    outputs = asyncio.gather(_drain(child.stdout, process.stdout), _drain(child.stderr, process.stderr))
    gone = asyncio.create_task(_gone(process, clock))
    try:
        await asyncio.wait([outputs, gone], return_when=asyncio.FIRST_COMPLETED)
        if not outputs.done():
            return 255
        outputs.result()
        code = await child.wait()
        return code if code >= 0 else 128 - code
    finally:
        for task in (stdin, outputs, gone):
            task.cancel()
        await asyncio.gather(stdin, outputs, gone, return_exceptions=True)


async def _feed(process: Process, stdin: asyncio.StreamWriter, clock: Clock) -> None:
    try:
        while chunk := await process.stdin.read(_CHUNK):
            clock.tick()
            stdin.write(chunk)
            await stdin.drain()
    except (ConnectionError, asyncssh.Error, asyncssh.SignalReceived, asyncssh.BreakReceived):
        pass  # the program has read enough, or the client has gone: either is seen elsewhere
    finally:
        stdin.close()


async def _drain(output: asyncio.StreamReader, client: "asyncssh.SSHWriter[bytes]") -> None:
    while chunk := await output.read(_CHUNK):
        client.write(chunk)
        await client.drain()


async def _gone(process: Process, clock: Clock) -> None:
    """Returns once nobody is there any more."""
    closed = asyncio.create_task(process.channel.wait_closed())
    try:
        while not closed.done() and not clock.run_out:
            await asyncio.wait([closed], timeout=1.0)
    finally:
        closed.cancel()
