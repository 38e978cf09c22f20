from pathlib import Path

import click

from gitreceive.cli.common import Group, as_json, byte_count, open_ledger, print_json


@click.group("ledger", cls=Group)
def command() -> None:
    """The server's ledger: backup."""


@command.command("backup")
@click.argument("file", metavar="FILE", type=click.Path(path_type=Path))
@as_json
def backup(file: Path, as_json: bool) -> None:
    """Copy the ledger to a new FILE, whole and as of one moment, while the server works. It holds config: guard it.

    With it, and the registry, a server can be made anew. On the server's own host only; for a ledger in PostgreSQL, use pg_dump.

    \b
    Example:
      gitreceive ledger backup /backup/ledger-$(date +%F).db
    """
    with open_ledger() as ledger:
        ledger.backup(file)
        apps = len(ledger.apps())
    size = file.stat().st_size
    if as_json:
        print_json({"file": str(file), "bytes": size, "apps": apps})
        return
    click.echo(
        f"-----> The ledger, with {apps} app{'' if apps == 1 else 's'}, is in {file} ({byte_count(size)})",
        err=True,
    )
