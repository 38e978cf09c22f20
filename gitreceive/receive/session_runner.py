"""What runs behind an SSH door: git's own programs, the command line, or a greeting."""

import asyncio
import logging
from dataclasses import dataclass

import asyncssh

from gitreceive.acting import Actor
from gitreceive.config import Settings, process_environment
from gitreceive.errors import GitreceiveError
from gitreceive.model import Permission, User
from gitreceive.receive.commands import CliCommand, GitCommand, Greeting, git_protocol, parse
from gitreceive.receive.forked import CommandLine
from gitreceive.receive.forwarding import Destination, Handler, speaking
from gitreceive.receive.git_process import git_service, service_environment
from gitreceive.receive.git_sessions import GitSessions
from gitreceive.receive.programs import Clock, SshClient, connect, running
from gitreceive.receive.sessions import Address
from gitreceive.receive.terminals import in_terminal, on_terminal, shown
from gitreceive.sanitise import plain
from gitreceive.stories.revocation import user_of

_log = logging.getLogger(__name__)


@dataclass(frozen=True)
class SessionRunner:
    """Called with each session of an authenticated user; the exit code is for the client.

    ``cli`` runs what is no git.
    """

    settings: Settings
    git: GitSessions
    cli: CommandLine

    async def __call__(self, client: SshClient, actor: Actor, address: Address) -> int:
        """What the client may not, and what is not understood, is said on stderr."""
        try:
            return await self._serve(client, actor, address)
        except GitreceiveError as error:
            hint = f"  {plain(error.hint)}\n" if error.hint else ""
            complaint = f"gitreceive: {plain(error.message)}\n{hint}"
            client.stderr.write(shown(client, complaint))
            return error.exit_code
        except (asyncssh.Error, ConnectionError):
            return 255  # the client went away
        except Exception:  # noqa: BLE001  the edge: nobody above could tell the client
            _log.exception("a session failed")
            client.stderr.write(shown(client, "gitreceive: the server has a fault; its log has more\n"))
            return 1

    async def _serve(self, client: SshClient, actor: Actor, address: Address) -> int:
        with self.git.crowd.session(actor.user):
            return await self._answer(client, actor, address)

    async def _answer(self, client: SshClient, actor: Actor, address: Address) -> int:
        user = await asyncio.to_thread(user_of, actor, self.git.ledger)
        if client.subsystem is not None:
            client.stderr.write(shown(client, "gitreceive: no subsystem is served\n"))
            return 2
        match parse(client.command):
            case Greeting():
                client.stdout.write(shown(client, _greeting(user, address)))
                return 0
            case CliCommand(argv):
                return await self._command(client, actor, argv)
            case GitCommand() as asked:
                return await self._git(client, actor, asked, address)

    async def forward(self, actor: Actor, host: str, port: int) -> Handler:
        """As ``ssh -L`` asks for it. Raises ForbiddenError, NotFoundError: what an actor may not run programs in is not reached."""
        to = Destination.parse(host)
        await asyncio.to_thread(self.git.permit, actor, "port-forward", to.app, Permission.CONFIGURE)
        words = ("port-forward", "--app", str(to.app), "--ps", to.instance, "--stdio", str(port))
        withdrawal = self.git.revocations.withdrawal(actor)
        return speaking(words, self._environment(actor), withdrawal, self.cli.start)

    def _environment(self, actor: Actor) -> dict[str, str]:
        return {
            **process_environment(),
            "GITRECEIVE_DATA_DIR": str(self.settings.data_dir),
            "GITRECEIVE_ACTING_USER": str(actor.user),
            "GITRECEIVE_ACTING_KEY": actor.key,
            "GITRECEIVE_ACTING_TOKEN": actor.token,
            "GITRECEIVE_ACTING_ADDRESS": actor.address,
        }

    async def _command(self, client: SshClient, actor: Actor, argv: tuple[str, ...]) -> int:
        environment, start = self._environment(actor), self.cli.start
        with self.git.sessions.counted("follow" if _follows(argv) else "command"):
            if on_terminal(client):
                async with in_terminal(client, argv, environment, start) as screen:
                    return await screen.connect(self.git.revocations.withdrawal(actor))
            async with running(argv, environment, start=start) as child:
                return await connect(client, child, Clock(), self.git.revocations.withdrawal(actor))

    async def _git(self, client: SshClient, actor: Actor, asked: GitCommand, address: Address) -> int:
        visit = await asyncio.to_thread(self.git.admit, actor, asked, address)
        command = git_service(asked.service, visit.repository, self.settings)
        protocol = git_protocol(client.env.get("GIT_PROTOCOL"))  # all else that the client sets is dropped
        return await self.git.serve(visit, client, command, service_environment(protocol))


def _follows(argv: tuple[str, ...]) -> bool:
    """Whether it shows a log, which it may do for as long as its client is there."""
    return argv[:1] == ("logs",) or argv[:2] == ("builds", "attach")


def _greeting(user: User, address: Address) -> str:
    return (
        f"Hello {user.name}{' (administrator)' if user.admin else ''}, this is gitreceive.\n"
        f"  to deploy:   git push {address.remote('APP')} BRANCH\n"
        f"  to do more:  {address.ssh} help\n"
    )
