import click

from gitreceive.cli.common import app_option, as_json, open_platform
from gitreceive.cli.release_names import named
from gitreceive.cli.rollback import bring_back, who_may
from gitreceive.model import Redeploy


@click.command("redeploy")
@click.argument("words", metavar="[APP]", nargs=-1)
@app_option
@as_json
def command(words: tuple[str, ...], app: str | None, as_json: bool) -> None:
    """Start the live release anew, as the next one: new processes of the same image and config. Nothing is built.

    No request is dropped. The release command does not run. Exit 1 if it did not go live.

    \b
    Example:
      gitreceive redeploy shop
    """
    name, _ = named(words, app, least=0, most=0)
    with open_platform() as platform:
        who = who_may(platform, name)
        bring_back(platform, Redeploy(name, who.name), as_json=as_json)
