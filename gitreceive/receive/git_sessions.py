"""Git over any door: who may, in which repository, and git's own programs between a client and the hooks."""

import asyncio
from collections.abc import Coroutine, Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, field
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Protocol

from gitreceive.access import check_whole, require
from gitreceive.acting import Actor, acting
from gitreceive.config import Settings, repository_path
from gitreceive.errors import ConflictError, ForbiddenError, GitreceiveError, NotFoundError
from gitreceive.git.process import run_git
from gitreceive.model import App, AppName, Happening, Outcome, Permission, User
from gitreceive.ports import AppLedger, EventLedger, Observer, SourceStore, Unobserved
from gitreceive.ports.observing import kind_of
from gitreceive.receive.commands import GitCommand
from gitreceive.receive.crowd import Crowd
from gitreceive.receive.git_process import limit
from gitreceive.receive.programs import Client, Clock, connect, running
from gitreceive.receive.revocations import Revocations
from gitreceive.receive.sessions import Address, Session, Sessions
from gitreceive.receive.shallow import CommandSection
from gitreceive.room import require_room
from gitreceive.stories.revocation import Standing, user_of

_NEEDS = {"receive-pack": Permission.DEPLOY, "upload-pack": Permission.VIEW}
_PATIENCE = 10.0  # seconds that git gets to end by itself: asked by a signal, it leaves its quarantine behind (from 2.39 on)


class DoorLedger(AppLedger, EventLedger, Standing, Protocol):
    """What there is, who may, and what happens."""


@dataclass(frozen=True)
class Visit:
    """One client that was let in: for which service of which app, and where it found the server."""

    actor: Actor
    service: str  # receive-pack or upload-pack
    app: App
    repository: Path
    address: Address


@dataclass(frozen=True)
class GitSessions:
    """What every door does for git. Each brings the program that speaks its own protocol: its command line and environment."""

    settings: Settings
    ledger: DoorLedger
    sources: SourceStore
    sessions: Sessions
    revocations: Revocations
    hook_socket: str
    crowd: Crowd
    observer: Observer = field(default_factory=Unobserved)

    def admit(self, actor: Actor, asked: GitCommand, address: Address) -> Visit:
        """Blocks. An app that is not there is made where the policy says so and somebody pushes to it. Raises ForbiddenError,
        NotFoundError, ConflictError for a review app, UnavailableError for a push where the disk is full.
        """
        if asked.service != "receive-pack":
            return self._admit(actor, asked, address)
        try:
            return self._admit(actor, asked, address)
        except GitreceiveError as error:
            self.observer.push_refused(kind_of(error), None)
            raise

    def _admit(self, actor: Actor, asked: GitCommand, address: Address) -> Visit:
        receives = asked.service == "receive-pack"
        make = receives and self.settings.policy.create_on_push
        with self._recorded(actor, "push" if receives else "fetch", asked.app):
            user = user_of(actor, self.ledger)
            app = self._app(user, asked.app, address, make=make)
            require(_NEEDS[asked.service], user, app, self.ledger)
        if receives:
            require_room(self.settings.data_dir, self.settings.reserved_bytes)
        self._prepare(app)
        return Visit(actor, asked.service, app, repository_path(self.settings, app.name), address)

    async def serve(
        self, visit: Visit, client: Client, command: Sequence[str], environment: Mapping[str, str]
    ) -> int:
        """Run the program between client and repository to its end; its exit code, 255 where the client went away. What it receives is
        a push, with its hooks.
        """
        if visit.service == "receive-pack":
            with self.sessions.counted("push"):
                return await self._receive(visit, client, command, environment)
        with self.sessions.counted("fetch"):
            return await self.show(visit, client, command, environment)

    async def show(
        self, visit: Visit, client: Client, command: Sequence[str], environment: Mapping[str, str]
    ) -> int:
        """The same for a program that only reads."""
        async with running(command, environment) as child:
            limit(child.pid)
            return await connect(client, child, Clock(), self._withdrawal(visit))

    async def _receive(
        self, visit: Visit, client: Client, command: Sequence[str], environment: Mapping[str, str]
    ) -> int:
        user, app = visit.actor.user, visit.app
        async with self.crowd.receiving(user, app.name) as place:
            loop = asyncio.get_running_loop()

            def received() -> None:
                loop.call_soon_threadsafe(place.leave)

            session = Session(visit.actor, app, visit.repository, visit.address, on_received=received)
            return await self._run_hooked(session, visit, client, command, environment)

    async def _run_hooked(
        self,
        session: Session,
        visit: Visit,
        client: Client,
        command: Sequence[str],
        environment: Mapping[str, str],
    ) -> int:
        with self.sessions.opened(session) as token, TemporaryDirectory(prefix="gitreceive-") as scratch:
            shallow = Path(scratch, "shallow")
            section = CommandSection(visit.repository, shallow)
            hooks = {
                "GITRECEIVE_HOOK_SOCKET": self.hook_socket,
                "GITRECEIVE_SESSION": token,
                "GIT_SHALLOW_FILE": str(shallow),
            }
            try:
                async with running(command, {**environment, **hooks}, lambda: _patience(session)) as child:
                    limit(child.pid)
                    return await connect(client, child, Clock(session), self._withdrawal(visit), section.feed)
            finally:
                await asyncio.to_thread(session.sweep)

    def _withdrawal(self, visit: Visit) -> Coroutine[None, None, str]:
        return self.revocations.withdrawal(visit.actor, (visit.app.name, _NEEDS[visit.service]))

    def permit(self, actor: Actor, verb: str, name: AppName, permission: Permission) -> None:
        """Raises NotFoundError, and ForbiddenError, which is recorded, unless ``actor`` may do this."""
        app = self.ledger.app(name)
        with self._recorded(actor, verb, name):
            require(permission, user_of(actor, self.ledger), app, self.ledger)

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

    def _app(self, user: User, name: AppName, address: Address, *, make: bool) -> App:
        try:
            return self.ledger.app(name)
        except NotFoundError as error:
            if not make:
                raise NotFoundError(
                    f"there is no app {name}", hint=f"to create it: {address.ssh} apps create {name}"
                ) from error
        check_whole(user, "create apps")
        try:
            return self.ledger.create_app(name, user.name, self.settings.policy.branch)
        except ConflictError:
            return self.ledger.app(name)  # another push was first

    def _prepare(self, app: App) -> None:
        """Its repository's HEAD is the branch that deploys, so that a clone checks out what runs. Raises ConflictError for a review app,
        which has none, NotFoundError where the app was removed just now: then nothing is left of it here either.
        """
        if app.review:
            raise ConflictError(
                f"{app.name} is a review app of {app.review.of}",
                hint=f"push its branch, {app.branch}, to {app.review.of}",
            )
        self.sources.create(app.name)
        try:
            self.ledger.app(app.name)
        except NotFoundError:
            self.sources.delete(app.name)
            raise
        repository = repository_path(self.settings, app.name)
        if (repository / "HEAD").read_text("ascii").strip() != f"ref: {app.deploy_ref}":
            run_git(["symbolic-ref", "HEAD", app.deploy_ref], repository=repository)


def _patience(session: Session) -> float:
    return 0.0 if session.taken.is_set() else _PATIENCE
