"""What runs behind the SSH door: git's own programs, the command line, or a greeting."""

import asyncio
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Protocol

from gitreceive.access import check_whole, require
from gitreceive.acting import Actor, acting
from gitreceive.config import Settings, process_environment, repository_path
from gitreceive.errors import ConflictError, ForbiddenError, NotFoundError
from gitreceive.git.process import run_git
from gitreceive.model import App, AppName, Happening, Outcome, Permission, User
from gitreceive.ports import AppLedger, EventLedger, SourceStore
from gitreceive.receive.commands import CliCommand, GitCommand, Greeting, git_protocol, parse
from gitreceive.receive.git_process import git_service, limit, service_environment
from gitreceive.receive.programs import Clock, Process, connect, running
from gitreceive.receive.revocations import Revocations
from gitreceive.receive.sessions import Address, Session, Sessions
from gitreceive.receive.shallow import CommandSection
from gitreceive.revocation import Standing, user_of

_PATIENCE = 10.0  # seconds that git gets to end by itself: asked by a signal, it leaves its quarantine behind (from 2.39 on)


class RunnerLedger(AppLedger, EventLedger, Standing, Protocol):
    """What running needs of the ledger."""


@dataclass(frozen=True)
class SessionRunner:
    """Called with each session of an authenticated user; the exit code is for the client.

    ``cli`` is the command line's first words; a command's own are added to it.
    """

    settings: Settings
    ledger: RunnerLedger
    revocations: Revocations
    sources: SourceStore
    sessions: Sessions
    hook_socket: str
    cli: tuple[str, ...] = (sys.executable, "-m", "gitreceive")

    async def __call__(self, process: Process, actor: Actor, address: Address) -> int:
        """Raises GitreceiveError on what the client may not, or what is not understood."""
        user = await asyncio.to_thread(user_of, actor, self.ledger)
        if process.subsystem is not None:
            process.stderr.write(b"gitreceive: no subsystem is served\n")
            return 2
        match parse(process.command):
            case Greeting():
                process.stdout.write(_greeting(user, address).encode())
                return 0
            case CliCommand(argv):
                return await self._command(process, actor, argv)
            case GitCommand("receive-pack", name):
                return await self._receive(process, actor, name, address)
            case GitCommand(_, name):
                app = await asyncio.to_thread(self._readable, actor, name, address)
                return await self._upload(process, actor, app)

    async def _command(self, process: Process, actor: Actor, argv: tuple[str, ...]) -> int:
        environment = {
            **process_environment(),
            "GITRECEIVE_DATA_DIR": str(self.settings.data_dir),
            "GITRECEIVE_ACTING_USER": str(actor.user),
            "GITRECEIVE_ACTING_KEY": actor.key,
            "GITRECEIVE_ACTING_TOKEN": actor.token,
            "GITRECEIVE_ACTING_ADDRESS": actor.address,
        }
        async with running([*self.cli, *argv], environment) as child:
            return await connect(process, child, Clock(), self.revocations.withdrawal(actor))

    async def _upload(self, process: Process, actor: Actor, app: App) -> int:
        repository = repository_path(self.settings, app.name)
        command = git_service("upload-pack", repository, self.settings)
        async with running(command, service_environment(_protocol(process), {})) as child:
            limit(child.pid)
            withdrawal = self.revocations.withdrawal(actor, (app.name, Permission.VIEW))
            return await connect(process, child, Clock(), withdrawal)

    async def _receive(self, process: Process, actor: Actor, name: AppName, address: Address) -> int:
        app = await asyncio.to_thread(self._writable, actor, name, address)
        repository = repository_path(self.settings, app.name)
        session = Session(actor, app, repository, address)
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
                    withdrawal = self.revocations.withdrawal(actor, (app.name, Permission.DEPLOY))
                    return await connect(process, child, Clock(session), withdrawal, section.feed)
            finally:
                await asyncio.to_thread(session.sweep)

    def _writable(self, actor: Actor, name: AppName, address: Address) -> App:
        with self._recorded(actor, "push", name):
            user = user_of(actor, self.ledger)
            app = self._app(user, name, address)
            require(Permission.DEPLOY, user, app, self.ledger)
        return self._with_repository(app)

    def _readable(self, actor: Actor, name: AppName, address: Address) -> App:
        try:
            app = self.ledger.app(name)
        except NotFoundError as error:
            raise _unknown(name, address) from error
        with self._recorded(actor, "fetch", name):
            require(Permission.VIEW, user_of(actor, self.ledger), app, self.ledger)
        return self._with_repository(app)

    @contextmanager
    def _recorded(self, actor: Actor, verb: str, app: AppName) -> Iterator[None]:
        """What is done inside is ``actor``'s, and what they may not is recorded."""
        with acting(actor, verb):
            try:
                yield
            except ForbiddenError as error:
                denied, reason = Outcome.DENIED, error.message
                self.ledger.record(
                    Happening(actor.user, actor.via, actor.address, verb, app, "", denied, reason)
                )
                raise

    def _app(self, user: User, name: AppName, address: Address) -> App:
        try:
            return self.ledger.app(name)
        except NotFoundError as error:
            if not self.settings.policy.create_on_push:
                raise _unknown(name, address) from error
        check_whole(user, "create apps")
        try:
            return self.ledger.create_app(name, user.name, self.settings.policy.branch)
        except ConflictError:
            return self.ledger.app(name)  # another push was first

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
