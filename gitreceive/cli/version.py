import click

from gitreceive import __version__
from gitreceive.cli.common import as_json, print_json


@click.command("version")
@as_json
def command(as_json: bool) -> None:
    """Which gitreceive this is.

    \b
    Example:
      gitreceive version
    """
    if as_json:
        print_json({"version": __version__})
    else:
        click.echo(f"gitreceive {__version__}")
