import click

from gitreceive.access import check_unlock
from gitreceive.cli.common import actor, app_option, as_json, open_ledger, own_app
from gitreceive.cli.lock import tell
from gitreceive.model import Permission


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
        found = own_app(ledger, name or app, Permission.OPERATE)
        check_unlock(actor(ledger), found)
        opened = ledger.unlock_app(found.name)
    tell(opened, as_json=as_json)
