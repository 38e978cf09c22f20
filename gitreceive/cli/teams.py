import click

from gitreceive.access import check_admin
from gitreceive.cli.common import Group, actor, as_json, open_ledger, print_json, print_table
from gitreceive.errors import NotFoundError
from gitreceive.model import Team, UserName

_team = click.argument("team", metavar="TEAM")
_user = click.argument("user", metavar="USER")


@click.group("teams", cls=Group)
def command() -> None:
    """Teams of users: create, add, remove, list, info, destroy. What a team is given, each of its members has."""


@command.command("create")
@_team
@as_json
def create(team: str, as_json: bool) -> None:
    """Make a team with nobody in it.

    \b
    Example:
      gitreceive teams create web
    """
    with open_ledger() as ledger:
        check_admin(actor(ledger), "make teams")
        made = ledger.create_team(UserName.parse(team))
    _say(made, f"Team {made.name} is there", as_json=as_json)


@command.command("add")
@_team
@_user
@as_json
def add(team: str, user: str, as_json: bool) -> None:
    """Put USER into TEAM.

    \b
    Example:
      gitreceive teams add web bob
    """
    with open_ledger() as ledger:
        check_admin(actor(ledger), "change teams")
        changed = ledger.add_member(UserName.parse(team), UserName.parse(user))
    _say(changed, f"{user} is in team {changed.name}", as_json=as_json)


@command.command("remove")
@_team
@_user
@as_json
def remove(team: str, user: str, as_json: bool) -> None:
    """Take USER out of TEAM, and so all that they had by it alone.

    \b
    Example:
      gitreceive teams remove web bob
    """
    with open_ledger() as ledger:
        check_admin(actor(ledger), "change teams")
        changed = ledger.remove_member(UserName.parse(team), UserName.parse(user))
    _say(changed, f"{user} is no longer in team {changed.name}", as_json=as_json)


@command.command("list")
@as_json
def list_(as_json: bool) -> None:
    """The teams that you are in; for administrators, all.

    \b
    Example:
      gitreceive teams list
    """
    with open_ledger() as ledger:
        who = actor(ledger)
        teams = ledger.teams(None if who.admin else who.name)
    if as_json:
        print_json([_facts(team) for team in teams])
        return
    rows = [(team.name, ", ".join(team.members) or "-") for team in teams]
    print_table(("team", "members"), rows, "There are no teams yet: gitreceive teams create TEAM")


@command.command("info")
@_team
@as_json
def info(team: str, as_json: bool) -> None:
    """Who is in TEAM, and what it was given.

    \b
    Example:
      gitreceive teams info web
    """
    name = UserName.parse(team)
    with open_ledger() as ledger:
        who = actor(ledger)
        found = next((one for one in ledger.teams(None if who.admin else who.name) if one.name == name), None)
        if found is None:
            raise NotFoundError(f"there is no team {name} that you are in", hint="gitreceive teams list")
        apps = {given.app: given.role for given in ledger.access() if given.to.team and given.to.name == name}
    if as_json:
        print_json({**_facts(found), "apps": apps})
        return
    click.echo(f"{'team':10} {found.name}")
    click.echo(f"{'members':10} {', '.join(found.members) or '-'}")
    click.echo(f"{'apps':10} {', '.join(f'{app} ({role})' for app, role in apps.items()) or '-'}")


@command.command("destroy")
@_team
@as_json
def destroy(team: str, as_json: bool) -> None:
    """Remove TEAM and all that it was given. Its members stay.

    \b
    Example:
      gitreceive teams destroy web
    """
    with open_ledger() as ledger:
        check_admin(actor(ledger), "remove teams")
        gone = ledger.delete_team(UserName.parse(team))
    _say(gone, f"Team {gone.name} is gone", as_json=as_json)


def _say(team: Team, said: str, *, as_json: bool) -> None:
    if as_json:
        print_json(_facts(team))
    else:
        click.echo(f"-----> {said}", err=True)


def _facts(team: Team) -> dict[str, object]:
    return {"name": team.name, "members": list(team.members), "created_at": team.created_at}
