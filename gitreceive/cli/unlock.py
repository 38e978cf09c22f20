import click

from gitreceive.access import check_push, check_unlock
from gitreceive.cli import remote
from gitreceive.cli.common import actor, app_option, as_json, open_ledger
from gitreceive.cli.lock import tell


@click.command("unlock")
@click.argument("name", metavar="[APP]", required=False)
@app_option
@as_json
def command(name: str | None, app: str | None, as_json: bool) -> None:
    """Let the app be changed again. Whoever locked it may, and every administrator.

    \b
    Example:
      gitreceive unlock shop
    """
    with open_ledger() as ledger:
        found = ledger.app(remote.app_name(name or app))
        who = actor(ledger)
        check_push(who, found)
        check_unlock(who, found)
        opened = ledger.unlock_app(found.name)
    tell(opened, as_json=as_json)
