from pathlib import Path

import click

from gitreceive.cli.common import Group, as_json, byte_count, open_ledger, print_json


@click.group("ledger", cls=Group)
def command() -> None:
    """The server's own records, on its host: backup, reseal, rotate-key.

    What nobody may read of them, such as config, is sealed with the keys in the data folder's `ledger.key`, or in GITRECEIVE_LEDGER_KEY.
    """


@command.command("backup")
@click.argument("file", metavar="FILE", type=click.Path(path_type=Path))
@as_json
def backup(file: Path, as_json: bool) -> None:
    """Copy the ledger to a new FILE, whole and as of one moment, while the server works.

    With it, its key and the registry a server can be made anew. Config in it is sealed: keep a copy of the key, ledger.key, apart from it. On the server's own host only; for a ledger in PostgreSQL, use pg_dump.

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


@command.command("reseal")
@as_json
def reseal(as_json: bool) -> None:
    """Seal all secrets anew with the newest key, which stands first. Servers that run go on.

    \b
    Example:
      gitreceive ledger reseal
    """
    with open_ledger() as ledger:
        _tell(ledger.reseal(), as_json=as_json)


@command.command("rotate-key")
@as_json
def rotate_key(as_json: bool) -> None:
    """Seal all secrets with a new key and forget the old one, which then opens nothing of this ledger any more.

    Keep a copy of the new one apart from the ledger's backups. Older backups need the key of their time. Servers that run go on.

    \b
    Example:
      gitreceive ledger rotate-key && cp ~/.local/share/gitreceive/ledger.key /media/safe/
    """
    with open_ledger() as ledger:
        _tell(ledger.rotate_key(), as_json=as_json)


def _tell(count: int, *, as_json: bool) -> None:
    if as_json:
        print_json({"sealed": count})
    else:
        click.echo(f"-----> {count} records are sealed with the newest key", err=True)
