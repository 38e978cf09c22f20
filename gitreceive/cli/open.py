import sys
import webbrowser

import click

from gitreceive import config
from gitreceive.cli.common import app_option, as_json, open_target, own_app, print_json
from gitreceive.errors import NotFoundError


@click.command("open")
@app_option
@as_json
def command(app: str | None, as_json: bool) -> None:
    """Print where the app answers; at a terminal of the server's own host, open it in a browser too.

    \b
    Example:
      curl "$(gitreceive open --app shop)"
    """
    with open_target() as (ledger, target):
        name = own_app(ledger, app).name
        url = target.url(name)
    if url is None:
        raise NotFoundError(f"{name} answers nowhere yet", hint="push it, with a web process")
    if as_json:
        print_json({"url": url})
        return
    click.echo(url)
    if config.acting_user() is None and sys.stdout.isatty():
        webbrowser.open(url)
