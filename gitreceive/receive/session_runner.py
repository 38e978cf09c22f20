"""What runs behind the SSH door: git's own programs, the command line, or a greeting."""

import asyncio
import sys
from dataclasses import dataclass
from pathlib import Path
from tempfile import TemporaryDirectory

from gitreceive.access import check_push, check_read
from gitreceive.config import Settings, process_environment, repository_path
from gitreceive.errors import ConflictError, NotFoundError
from gitreceive.git.process import run_git
from gitreceive.model import App, AppName, User
from gitreceive.ports import AppLedger, SourceStore
from gitreceive.receive.commands import CliCommand, GitCommand, Greeting, git_protocol, parse
from gitreceive.receive.git_process import git_service, limit, service_environment
from gitreceive.receive.programs import Clock, Process, connect, running
from gitreceive.receive.sessions import Address, Session, Sessions
from gitreceive.receive.shallow import CommandSection

_PATIENCE = 10.0  # seconds that git gets to end by itself: asked by a signal, it leaves its quarantine behind (from 2.39 on)


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
        async with running([*self.cli, *argv], environment) as child:
            return await connect(process, child, Clock())

    async def _upload(self, process: Process, app: App) -> int:
        repository = repository_path(self.settings, app.name)
        command = git_service("upload-pack", repository, self.settings)
        async with running(command, service_environment(_protocol(process), {})) as child:
            limit(child.pid)
            return await connect(process, child, Clock())

    async def _receive(self, process: Process, user: User, name: AppName, address: Address) -> int:
        app = await asyncio.to_thread(self._writable, user, name, address)
        repository = repository_path(self.settings, app.name)
        session = Session(user.name, app, repository, address)
        command = git_service("receive-pack", repository, self.settings)
        with self.sessions.opened(session) as token, TemporaryDirectory(prefix="gitreceive-") as scratch:
            shallow = Path(scratch, "shallow")
            section = CommandSection(repository, shallow)
            more = {
                "GITRECEIVE_HOOK_SOCKET": self.hook_socket,
                "GITRECEIVE_SESSION": token,
                "GIT_SHALLOW_FILE": str(shallow),
            }
            environment = service_environment(_protocol(process), more)
            try:
                async with running(command, environment, lambda: _patience(session)) as child:
                    limit(child.pid)
                    return await connect(process, child, Clock(session), section.feed)
            finally:
                await asyncio.to_thread(session.sweep)

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
        """Its HEAD is the branch that deploys, so that a clone checks out what runs. Raises ConflictError for a review app, which has none."""
        if app.review:
            raise ConflictError(
                f"{app.name} is a review app of {app.review.of}",
                hint=f"push its branch, {app.branch}, to {app.review.of}",
            )
        self.sources.create(app.name)
        repository = repository_path(self.settings, app.name)
        if (repository / "HEAD").read_text("ascii").strip() != f"ref: {app.deploy_ref}":
            run_git(["symbolic-ref", "HEAD", app.deploy_ref], repository=repository)
        return app


def _patience(session: Session) -> float:
    return 0.0 if session.taken.is_set() else _PATIENCE


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
