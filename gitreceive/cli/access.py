import click

from gitreceive.cli.common import Group, app_option, as_json, open_ledger, own_app, print_json, print_table
from gitreceive.errors import UsageError
from gitreceive.model import App, Given, Party, Permission, Role, UserName, parse_role

_words = click.argument("words", metavar="[APP] USER", nargs=-1)
_team = click.option("--team", metavar="TEAM", help="All of a team, in place of USER.")


@click.group("access", cls=Group)
def command() -> None:
    """Who may do what with an app: add, remove, list, transfer.

    A viewer sees it, a developer deploys and configures it, an operator also locks and routes it, an admin does all. Its owner is its
    administrator, and so are the server's administrators.
    """


@command.command("add")
@_words
@app_option
@_team
@click.option("--role", required=True, metavar="ROLE", help="viewer, developer, operator or admin.")
@as_json
def add(words: tuple[str, ...], app: str | None, team: str | None, role: str, as_json: bool) -> None:
    """Give USER, or a team, a role for the app, in place of one that they had.

    \b
    Examples:
      gitreceive access add shop bob --role developer
      gitreceive access add shop --team web --role viewer
    """
    wanted = parse_role(role)
    name, party = _meant(words, app, team)
    with open_ledger() as ledger:
        found = own_app(ledger, name, Permission.ADMINISTER)
        given = Given(found.name, party, wanted)
        ledger.give(given)
    _say(given, f"{party} is {_article(wanted)} {wanted} of {found.name}", as_json=as_json)


@command.command("remove")
@_words
@app_option
@_team
@as_json
def remove(words: tuple[str, ...], app: str | None, team: str | None, as_json: bool) -> None:
    """Take back what USER, or a team, was given for the app. What they have open there is ended.

    \b
    Example:
      gitreceive access remove shop bob
    """
    name, party = _meant(words, app, team)
    with open_ledger() as ledger:
        found = own_app(ledger, name, Permission.ADMINISTER)
        gone = ledger.take(found.name, party)
    _say(gone, f"{party} is no longer {_article(gone.role)} {gone.role} of {found.name}", as_json=as_json)


@command.command("list")
@click.argument("words", metavar="[APP]", nargs=-1)
@app_option
@as_json
def list_(words: tuple[str, ...], app: str | None, as_json: bool) -> None:
    """Who may do what with the app, but for the server's administrators, who may all.

    \b
    Example:
      gitreceive access list shop
    """
    name = _app(words, app)
    with open_ledger() as ledger:
        found = own_app(ledger, name)
        given = [_owner(found), *ledger.access(found.name)]
    if as_json:
        print_json([{**_facts(one), "owner": at == 0} for at, one in enumerate(given)])
        return
    print_table(
        ("who", "role"),
        [(one.to, "owner" if at == 0 else one.role) for at, one in enumerate(given)],
        "",
    )


@command.command("transfer")
@_words
@app_option
@as_json
def transfer(words: tuple[str, ...], app: str | None, as_json: bool) -> None:
    """Make USER the app's owner. Who owned it before has what they were given, if anything.

    \b
    Example:
      gitreceive access transfer shop bob
    """
    name, party = _meant(words, app, None)
    with open_ledger() as ledger:
        found = own_app(ledger, name, Permission.ADMINISTER)
        ledger.set_owner(found.name, party.name)
    _say(Given(found.name, party, Role.ADMIN), f"{found.name} belongs to {party}", as_json=as_json)


def _meant(words: tuple[str, ...], app: str | None, team: str | None) -> tuple[str | None, Party]:
    """The app, None for that of the git remote, and to whom. Raises UsageError."""
    if team is not None:
        return _app(words, app), Party(UserName.parse(team), team=True)
    if not words:
        raise UsageError("nobody is named", hint="write: access add APP USER, or --team TEAM")
    return _app(words[:-1], app), Party(UserName.parse(words[-1]))


def _app(words: tuple[str, ...], app: str | None) -> str | None:
    if len(words) + (app is not None) > 1:
        raise UsageError("one app is meant, but more words came", hint="write: APP USER")
    return words[0] if words else app


def _owner(app: App) -> Given:
    return Given(app.name, Party(app.owner), Role.ADMIN)


def _article(role: Role) -> str:
    return "a" if role in {Role.VIEWER, Role.DEVELOPER} else "an"


def _say(given: Given, said: str, *, as_json: bool) -> None:
    if as_json:
        print_json(_facts(given))
    else:
        click.echo(f"-----> {said}", err=True)


def _facts(given: Given) -> dict[str, object]:
    kind = "team" if given.to.team else "user"
    return {"app": given.app, "kind": kind, "name": given.to.name, "role": given.role}
