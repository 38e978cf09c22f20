import click

from gitreceive import acting
from gitreceive.access import check_admin
from gitreceive.cli.common import (
    actor,
    app_option,
    as_json,
    open_ledger,
    print_json,
    print_table,
    require_app,
    seconds,
)
from gitreceive.model import AppName, Event, EventQuery, Permission, UserName


@click.command("events")
@app_option
@click.option("--user", metavar="USER", help="Only what this user did; your own needs no administrator.")
@click.option("--since", metavar="TIME", help="Only what is younger: 90s, 5m, 2h, 1d.")
@click.option(
    "-n",
    "number",
    type=click.IntRange(1, 100_000),
    default=50,
    show_default=True,
    metavar="N",
    help="How many, newest first.",
)
@as_json
def command(app: str | None, user: str | None, since: str | None, number: int, as_json: bool) -> None:
    """What happened: who changed, pushed or was refused what, by which key or token, from where, and how it ended.

    Nothing of it can be altered. Of an app, for all who may see it; of everything, for administrators.

    \b
    Examples:
      gitreceive events --app shop -n 20
      gitreceive events --user bob --since 7d --json
    """
    name = AppName.parse(app) if app else None
    by = UserName.parse(user) if user else None
    with open_ledger() as ledger:
        who = actor(ledger)
        if name is not None and not who.admin:
            require_app(ledger, name, Permission.VIEW)
        elif by != who.name or who.reach is not None:
            check_admin(who, "see what happened on the whole server")
        query = EventQuery(name, by, seconds(since), number)
        events = ledger.events(query)
    if as_json:
        print_json([_facts(event) for event in events])
        return
    print_table(
        ("at", "who", "by", "from", "did", "app", "what", "outcome"),
        [_row(event) for event in events],
        "Nothing happened, or nothing that is looked for",
    )


def _row(event: Event) -> tuple[object, ...]:
    one = event.happening
    what = " ".join(f"{one.what}{f' ({one.reason})' if one.reason else ''}".split())
    at = f"{event.at:%Y-%m-%dT%H:%M:%SZ}"
    via = one.via if one.via != acting.SERVER.user else "-"
    return (at, one.user, via, one.address or "-", one.verb, one.app or "-", what or "-", one.outcome)


def _facts(event: Event) -> dict[str, object]:
    return {"id": event.id, "at": event.at, **vars(event.happening)}
