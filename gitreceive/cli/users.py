from dataclasses import dataclass
from typing import TYPE_CHECKING

import click

from gitreceive.access import check_admin
from gitreceive.cli.common import Group, actor, as_json, open_ledger, print_json, print_table
from gitreceive.model import User, UserName

if TYPE_CHECKING:
    from gitreceive.ports import Ledger

_user = click.argument("user", metavar="USER")


@click.group("users", cls=Group)
def command() -> None:
    """Users: add, list, info, suspend, resume, promote, demote, remove.

    A user has any number of keys (keys add) and tokens, and may do with an app what they or a team of theirs were given (access add).
    """


@command.command("add")
@_user
@click.option("--admin", is_flag=True, help="Make them an administrator of the server.")
@as_json
def add(user: str, admin: bool, as_json: bool) -> None:
    """Add a user, who has no key yet. A key that is added for somebody new adds them too.

    \b
    Example:
      gitreceive users add bob
    """
    with open_ledger(make=True) as ledger:
        check_admin(actor(ledger), "add users")
        made = ledger.add_user(UserName.parse(user), admin=admin)
    _say(made, f"{made.name} is a user{', and an administrator' if admin else ''}", as_json=as_json)


@command.command("list")
@as_json
def list_(as_json: bool) -> None:
    """All users, for administrators.

    \b
    Example:
      gitreceive users list
    """
    with open_ledger() as ledger:
        check_admin(actor(ledger), "see all users")
        found = [_known(ledger, user) for user in ledger.users()]
    if as_json:
        print_json([vars(one) for one in found])
        return
    print_table(
        ("user", "standing", "keys", "tokens", "teams"),
        [(one.name, one.standing, len(one.keys), len(one.tokens), _words(one.teams)) for one in found],
        "There are no users yet: gitreceive users add USER",
    )


@command.command("info")
@click.argument("user", required=False)
@as_json
def info(user: str | None, as_json: bool) -> None:
    """All about one user, yourself without USER: keys, tokens, teams, and what they may do with which app.

    \b
    Example:
      gitreceive users info bob
    """
    with open_ledger() as ledger:
        who = actor(ledger)
        name = UserName.parse(user) if user else who.name
        if name != who.name:
            check_admin(who, "see other users")
        known = _known(ledger, ledger.user(name))
    if as_json:
        print_json(vars(known))
        return
    shown = {
        "user": known.name,
        "standing": known.standing,
        "keys": _words(known.keys),
        "tokens": _words(known.tokens),
        "teams": _words(known.teams),
        "apps": _words([f"{app} ({role})" for app, role in known.apps.items()]),
    }
    for key, value in shown.items():
        click.echo(f"{key:10} {value}")


@command.command("suspend")
@_user
@as_json
def suspend(user: str, as_json: bool) -> None:
    """Let USER do nothing until resumed. What they have open is ended; their apps and builds go on.

    \b
    Example:
      gitreceive users suspend bob
    """
    _change(user, f"{user} may do nothing from now on", as_json=as_json, suspended=True)


@command.command("resume")
@_user
@as_json
def resume(user: str, as_json: bool) -> None:
    """Let USER do again what they could do before they were suspended.

    \b
    Example:
      gitreceive users resume bob
    """
    _change(user, f"{user} may do again what they could before", as_json=as_json, suspended=False)


@command.command("promote")
@_user
@as_json
def promote(user: str, as_json: bool) -> None:
    """Make USER an administrator of the server.

    \b
    Example:
      gitreceive users promote bob
    """
    _change(user, f"{user} is an administrator", as_json=as_json, admin=True)


@command.command("demote")
@_user
@as_json
def demote(user: str, as_json: bool) -> None:
    """Make an administrator a user like others.

    \b
    Example:
      gitreceive users demote bob
    """
    _change(user, f"{user} is no administrator any more", as_json=as_json, admin=False)


@command.command("remove")
@_user
@as_json
def remove(user: str, as_json: bool) -> None:
    """Remove USER with their keys and tokens and all that they were given. Who owns an app stays, until it is somebody else's.

    \b
    Example:
      gitreceive users remove bob
    """
    with open_ledger() as ledger:
        check_admin(actor(ledger), "remove users")
        gone = ledger.remove_user(UserName.parse(user))
    _say(gone, f"{gone.name} is gone", as_json=as_json)


def _change(
    user: str, said: str, *, as_json: bool, admin: bool | None = None, suspended: bool | None = None
) -> None:
    with open_ledger() as ledger:
        check_admin(actor(ledger), "change users")
        changed = ledger.change_user(UserName.parse(user), admin=admin, suspended=suspended)
    _say(changed, said, as_json=as_json)


def _say(user: User, said: str, *, as_json: bool) -> None:
    if as_json:
        print_json({"name": user.name, "admin": user.admin, "suspended": user.suspended})
    else:
        click.echo(f"-----> {said}", err=True)


def _words(words: list[str]) -> str:
    return ", ".join(words) or "-"


@dataclass(frozen=True)
class _Known:
    """All about one user."""

    name: str
    standing: str
    keys: list[str]
    tokens: list[str]
    teams: list[str]
    apps: dict[str, str]


def _known(ledger: "Ledger", user: User) -> _Known:
    roles: dict[str, str] = {app.name: "owner" for app in ledger.apps() if app.owner == user.name}
    for given in ledger.access(user=user.name):
        roles.setdefault(given.app, str(ledger.role(user.name, given.app)))
    return _Known(
        name=user.name,
        standing="suspended" if user.suspended else "administrator" if user.admin else "user",
        keys=[key.fingerprint for key in ledger.keys(user.name)],
        tokens=[token.id for token in ledger.tokens(user.name)],
        teams=[team.name for team in ledger.teams(user.name)],
        apps=dict(sorted(roles.items())),
    )
