from datetime import datetime

import click

from gitreceive.cli.common import actor, app_option, as_json, open_ledger, own_app, print_json
from gitreceive.cli.watching import write
from gitreceive.errors import UsageError
from gitreceive.model import LONGEST_REASON, App, Permission
from gitreceive.voice import Voice


@click.command("lock")
@click.argument("name", metavar="[APP]", required=False)
@app_option
@click.option(
    "-m", "--reason", required=True, metavar="TEXT", help="Why; whoever wants to change it reads it."
)
@as_json
def command(name: str | None, app: str | None, reason: str, as_json: bool) -> None:
    """Let nobody change the app: pushes, rollbacks, config and settings are refused with the reason, until `unlock`.

    What runs goes on, and what was asked for before is done.

    \b
    Example:
      gitreceive lock shop -m "the sale runs until Monday"
    """
    words = " ".join(reason.split())
    if not words or len(words) > LONGEST_REASON:
        raise UsageError(
            f"a reason has 1 to {LONGEST_REASON} characters", hint='say why: -m "the sale runs until Monday"'
        )
    with open_ledger() as ledger:
        found = own_app(ledger, name or app, Permission.OPERATE)
        locked = ledger.lock_app(found.name, actor(ledger).name, words)
    tell(locked, as_json=as_json)


def tell(app: App, *, as_json: bool) -> None:
    """Whether it is locked now."""
    if as_json:
        print_json({"app": app.name, "locked": lock_facts(app)})
    else:
        Voice(write).step(f"{app.name} is locked: {app.lock.reason}" if app.lock else f"{app.name} is open")


def lock_facts(app: App) -> dict[str, str | datetime] | None:
    """None where it is not locked."""
    return {"by": app.lock.user, "reason": app.lock.reason, "since": app.lock.since} if app.lock else None
