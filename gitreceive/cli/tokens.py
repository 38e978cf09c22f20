from datetime import UTC, datetime, timedelta

import click

from gitreceive import config
from gitreceive.access import check_admin, check_person
from gitreceive.cli.common import Group, actor, age, as_json, open_ledger, print_json, print_table
from gitreceive.errors import ForbiddenError, UsageError
from gitreceive.model import (
    AppName,
    Reach,
    Scope,
    Token,
    User,
    UserName,
    draw_token,
    parse_scope,
    parse_token_id,
    parse_token_name,
)


@click.group("tokens", cls=Group)
def command() -> None:
    """Tokens, for programs and for pushes over HTTPS: create, list, revoke.

    A token reaches as far as it was made for, and never further than its user. It is shown once and kept as a hash.
    """


@command.command("create")
@click.argument("name", metavar="NAME")
@click.option(
    "--scope",
    "scopes",
    multiple=True,
    metavar="SCOPE",
    help="read, deploy, config or all; may be given again.  [default: deploy]",
)
@click.option(
    "--app",
    "apps",
    multiple=True,
    metavar="APP",
    help="For this app alone; may be given again.  [default: all]",
)
@click.option(
    "--days",
    type=click.IntRange(1),
    metavar="N",
    help="Days that it is good for.  [default: the server's, 90]",
)
@click.option("--user", metavar="USER", help="Whose it is; for administrators.  [default: yours]")
@as_json
def create(
    name: str,
    scopes: tuple[str, ...],
    apps: tuple[str, ...],
    days: int | None,
    user: str | None,
    as_json: bool,
) -> None:
    """Make a token and print it, once. NAME says what it is for.

    \b
    Examples:
      gitreceive tokens create ci --app shop --days 30
      TOKEN=$(ssh -p 2222 git@HOST tokens create backup --scope read)
    """
    lifetime = _lifetime(days)
    called = parse_token_name(name)
    with open_ledger() as ledger:
        who = actor(ledger)
        check_person(who, "make tokens")
        names = frozenset(ledger.app(AppName.parse(app)).name for app in apps) or None
        reach = Reach(frozenset(map(parse_scope, scopes)) or frozenset({Scope.DEPLOY}), names)
        drawn = draw_token()
        token = ledger.create_token(drawn, _whose(user, who), called, reach, lifetime, who.name)
    if as_json:
        print_json({**_facts(token), "token": drawn.text.reveal()})
        return
    click.echo(
        f"-----> Token {token.id} of {token.user} may {_reach(token)} until {token.expires_at:%Y-%m-%d}",
        err=True,
    )
    click.echo("       This is shown once; what is lost is revoked and made anew", err=True)
    click.echo(drawn.text.reveal())


@command.command("list")
@click.argument("user", required=False)
@as_json
def list_(user: str | None, as_json: bool) -> None:
    """The tokens of USER, and when each was last used; for administrators, of everybody. No secret is shown.

    \b
    Example:
      gitreceive tokens list
    """
    with open_ledger() as ledger:
        who = actor(ledger)
        wanted = UserName.parse(user) if user else None if who.admin else who.name
        if wanted != who.name:
            check_admin(who, "see the tokens of others")
        tokens = ledger.tokens(wanted)
    if as_json:
        print_json([_facts(token) for token in tokens])
        return
    print_table(
        ("token", "user", "for", "may", "made", "expires", "last used"),
        [
            (
                token.id,
                token.user,
                token.name,
                _reach(token),
                age(token.created_at),
                _expiry(token),
                age(token.last_used_at) if token.last_used_at else "never",
            )
            for token in tokens
        ],
        "There are no tokens yet: gitreceive tokens create NAME",
    )


@command.command("revoke")
@click.argument("token", metavar="ID")
@as_json
def revoke(token: str, as_json: bool) -> None:
    """Revoke the token with this id. It opens nothing from now on, and what it has open is ended.

    \b
    Example:
      gitreceive tokens revoke 3xk0q9v2ab
    """
    id_ = parse_token_id(token)
    with open_ledger() as ledger:
        who = actor(ledger)
        mine = {known.id for known in ledger.tokens(None if who.admin else who.name)}
        if who.reach is not None:
            raise ForbiddenError("no token may revoke tokens", hint="use an SSH key")
        if id_ not in mine:
            raise UsageError(f"no token of yours is {id_}", hint="see: gitreceive tokens list")
        gone = ledger.revoke_token(id_)
    if as_json:
        print_json(_facts(gone))
    else:
        click.echo(f"-----> Token {gone.id} of {gone.user} opens nothing any more", err=True)


def _lifetime(days: int | None) -> timedelta:
    settings = config.load().access
    if days is not None and days > settings.max_token_days:
        raise UsageError(
            f"a token is good for at most {settings.max_token_days} days here",
            hint="take fewer, or have the setting max_token_days in [access] raised",
        )
    return timedelta(days=min(settings.token_days, settings.max_token_days) if days is None else days)


def _whose(user: str | None, who: User) -> UserName:
    if user is None and config.acting_user() is None:
        raise UsageError("a token is somebody's", hint="say whose: --user USER")
    name = UserName.parse(user) if user else who.name
    if name != who.name:
        check_admin(who, "make tokens for others")
    return name


def _reach(token: Token) -> str:
    scopes = " ".join(sorted(token.reach.scopes))
    return scopes if token.reach.apps is None else f"{scopes}: {' '.join(sorted(token.reach.apps))}"


def _expiry(token: Token) -> str:
    return "expired" if token.expires_at <= datetime.now(UTC) else f"{token.expires_at:%Y-%m-%d}"


def _facts(token: Token) -> dict[str, object]:
    return {
        "id": token.id,
        "user": token.user,
        "name": token.name,
        "scopes": sorted(token.reach.scopes),
        "apps": None if token.reach.apps is None else sorted(token.reach.apps),
        "created_by": token.created_by,
        "created_at": token.created_at,
        "expires_at": token.expires_at,
        "last_used_at": token.last_used_at,
    }
