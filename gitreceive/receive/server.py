"""Both ends of receiving, opened and closed together."""

import asyncio
from collections.abc import Callable
from dataclasses import dataclass

from gitreceive.config import Settings
from gitreceive.model import App
from gitreceive.ports import Ledger, Log, LogBook, Observer, SourceStore, Unobserved
from gitreceive.receive.crowd import Crowd
from gitreceive.receive.forked import CommandLine
from gitreceive.receive.git_process import check_git, install_hooks
from gitreceive.receive.git_sessions import GitSessions
from gitreceive.receive.hook_answers import HookAnswers
from gitreceive.receive.hook_socket import HookSocket
from gitreceive.receive.openssh_door import OpensshDoor
from gitreceive.receive.revocations import Revocations
from gitreceive.receive.session_runner import SessionRunner
from gitreceive.receive.sessions import Sessions, sweep_quarantines
from gitreceive.receive.ssh_door import SshDoor


@dataclass(frozen=True)
class Receiver:
    """Open until ``close``."""

    door: SshDoor
    hooks: HookSocket
    openssh: OpensshDoor
    git: GitSessions  # for further doors
    cli: CommandLine

    @property
    def port(self) -> int:
        """The SSH door's."""
        return self.door.port

    async def close(self) -> None:
        """Pushes that wait are told that their builds go on; then the doors close."""
        await asyncio.to_thread(self.hooks.close)
        await asyncio.gather(self.door.close(), self.openssh.close())
        await self.cli.close()


async def serve(
    settings: Settings,
    *,
    ledger: Ledger,
    sources: SourceStore,
    logbook: LogBook,
    retire: Callable[[App, Log], None],
    enqueued: Callable[[], None] = lambda: None,
    cli: CommandLine | None = None,
    observer: Observer | None = None,
) -> Receiver:
    """Write the hooks, listen for them and for SSH. Raises ConfigError where a place or an address cannot be had.

    ``retire`` removes a review app whose branch is deleted; ``enqueued`` is called after each new job; ``cli`` replaces what runs the commands of SSH users;
    ``observer`` counts pushes.
    """
    sessions = Sessions()
    check_git()
    install_hooks(settings)
    seen = observer or Unobserved()
    answers = HookAnswers(settings.policy, sessions, ledger, sources, logbook, retire, enqueued, seen)
    hooks = HookSocket(settings, answers)
    hooks.start()  # refuses where another server has pushes under way here
    await asyncio.to_thread(sweep_quarantines, settings.repositories)
    cli = cli or CommandLine.of(settings)
    crowd = Crowd(settings.limits)
    git = GitSessions(settings, ledger, sources, sessions, Revocations(ledger), str(hooks.path), crowd, seen)
    runner = SessionRunner(settings, git, cli)
    door, openssh = SshDoor(settings, ledger, runner), OpensshDoor(settings, ledger, runner)
    try:
        await openssh.open()
        await door.open()
    except BaseException:
        await openssh.close()
        hooks.close()
        raise
    return Receiver(door, hooks, openssh, git, cli)
