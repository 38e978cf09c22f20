import logging

import click

from gitreceive import config


@click.command("server")
@click.option("--verbose", is_flag=True, help="Tell every connection on stderr.")
def command(verbose: bool) -> None:
    """Run the server: the SSH door, the builds, and the docker target's forwarder, in one process. Ctrl-C ends it.

    \b
    Example:
      GITRECEIVE_TARGET=kubernetes gitreceive server
    """
    from gitreceive import server

    logging.basicConfig(
        level=logging.INFO if verbose else logging.WARNING,
        format="%(asctime)s %(levelname)s %(name)s: %(message)s",
    )
    server.run(config.load(), announce=lambda text: click.echo(text, err=True))
