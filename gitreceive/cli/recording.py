"""What is done by a command is recorded: by the ledger with the change, or else here, around the command. No verb can leave it out."""

from collections.abc import Iterator, Sequence
from contextlib import closing, contextmanager, suppress

import click

from gitreceive import acting, config, wiring
from gitreceive.access import LOCAL_ADMINISTRATOR
from gitreceive.acting import Act, Actor
from gitreceive.cli import remote
from gitreceive.errors import ForbiddenError, GitreceiveError, UsageError
from gitreceive.model import Happening, Outcome, UserName

# verbs that change nothing and tell no secret. All others are recorded, so that a new one is until it is listed
READS = frozenset(
    {
        "access list",
        "app-json",
        "app-json validate",
        "apps info",
        "apps list",
        "buildpack",
        "buildpack lint",
        "buildpack new",
        "buildpack pack",
        "buildpack test",
        "buildpacks list",
        "builds attach",
        "builds list",
        "builds log",
        "config list",
        "cron history",
        "cron list",
        "doctor",
        "events",
        "healthchecks list",
        "keys list",
        "log-drains list",
        "logs",
        "maintenance info",
        "open",
        "openssh authorized-keys",
        "openssh session",  # what is done in it is recorded by the server
        "openssh settings",
        "permissions",
        "plan",
        "ps",
        "ps list",
        "quotas list",
        "releases",
        "releases diff",
        "releases info",
        "releases list",
        "reviews list",
        "run list",
        "server",
        "services info",
        "services kinds",
        "services list",
        "stack info",
        "stack list",
        "teams info",
        "teams list",
        "tokens list",
        "users info",
        "users list",
        "version",
        "volumes list",
    }
)


@contextmanager
def recorded(tree: click.Group, arguments: Sequence[str]) -> Iterator[None]:
    """Inside, a command is carried out. Raises UnavailableError where it was, and cannot be recorded."""
    verb = verb_of(tree, arguments)
    with acting.acting(_actor(), verb) as act:
        try:
            yield
        except ForbiddenError as error:
            _try_to_record(act, Outcome.DENIED, error.message)
            raise
        except UsageError:
            raise  # not understood, so nothing was done
        except GitreceiveError as error:
            if verb not in READS:
                _try_to_record(act, Outcome.FAILED, error.message)
            raise
        except SystemExit as ended:
            _finish(act, Outcome.FAILED if ended.code else Outcome.DONE)
            raise
        _finish(act, Outcome.DONE)


def nothing_changed() -> None:
    """Said by a command that could have changed something and found nothing to do."""
    acting.current().recorded = True


def more_changed() -> None:
    """Said by a command that did more than the ledger has recorded with its change: it is recorded once more, at its end."""
    acting.current().recorded = False


def verb_of(tree: click.Group, arguments: Sequence[str]) -> str:
    """The words that name a command, and none of its own: ``config set``. Empty for help, and where there is no such command."""
    arguments = arguments[: remote.begins_elsewhere(list(arguments))]
    if {"-h", "--help"} & set(arguments):
        return ""
    command: click.Command | None = tree
    words: list[str] = []
    for word in arguments:
        if not isinstance(command, click.Group):
            break
        with suppress(GitreceiveError):  # is told when it is carried out
            command = command.get_command(click.Context(command), word)
            if command is not None and command.name:
                words.append(command.name)
    return " ".join(words)


def _actor() -> Actor:
    name = config.acting_user()
    if name is None:
        return Actor(LOCAL_ADMINISTRATOR.name)
    return Actor(UserName.parse(name), **config.acting_by())


def _finish(act: Act, outcome: Outcome) -> None:
    if act.verb and act.verb not in READS and not act.recorded:
        _record(act, outcome, "")


def _try_to_record(act: Act, outcome: Outcome, reason: str) -> None:
    """The error that is on its way says more than one of the ledger would."""
    with suppress(GitreceiveError):
        _record(act, outcome, reason)


def _record(act: Act, outcome: Outcome, reason: str) -> None:
    settings = config.load()
    if not act.verb or not remote.has_ledger(settings):
        return
    actor = act.actor
    with closing(wiring.ledger(settings)) as ledger:
        ledger.record(
            Happening(
                user=actor.user,
                via=actor.via,
                address=actor.address,
                verb=act.verb,
                app=act.app,
                outcome=outcome,
                reason=reason,
            )
        )
