"""What ``doctor`` wants to know of the ledger."""

import shutil
from collections.abc import Iterator
from pathlib import Path

from sqlalchemy import select, text

from gitreceive.engines.sql_ledger.database import Database
from gitreceive.engines.sql_ledger.schema import REVISION, apps, releases
from gitreceive.errors import ConfigError, UnavailableError
from gitreceive.model import Check

_LEAST_FREE = 1 << 30


def findings(database: Database) -> Iterator[Check]:
    """One finding after the other; each looks when it is asked for. Raises nothing."""
    yield _schema(database)
    yield _key(database)
    if database.file:
        yield _integrity(database)
        yield _room(database.file)


def _schema(database: Database) -> Check:
    try:
        found = database.revision()
    except UnavailableError as error:
        return Check("ledger", ok=False, seen=error.message, fix=error.hint)
    ok = found == REVISION
    return Check(
        "ledger",
        ok=ok,
        seen=f"{database.name}, schema {found}" + ("" if ok else f", but this gitreceive knows {REVISION}"),
        fix="" if ok else "restart all of gitreceive on this ledger with one and the same version",
    )


def _key(database: Database) -> Check:
    """Whether what was sealed last can be opened: all of it is sealed with the same key."""
    try:
        with database.reading() as connection:
            newest = select(releases.c.config).order_by(releases.c.id.desc()).limit(1)
            for query in (newest, select(apps.c.config).limit(1)):
                connection.execute(query).all()
        database.keyring.seal(b"")
    except (ConfigError, UnavailableError) as error:
        return Check("ledger key", ok=False, seen=error.message, fix=error.hint)
    return Check("ledger key", ok=True, seen=database.keyring.name)


def _integrity(database: Database) -> Check:
    fix = "stop the server and restore the file from a backup"
    try:
        with database.reading() as connection:
            said = [str(line) for line in connection.execute(text("PRAGMA quick_check(3)")).scalars()]
    except UnavailableError as error:
        return Check("ledger integrity", ok=False, seen=error.message, fix=error.hint)
    ok = said == ["ok"]
    return Check("ledger integrity", ok=ok, seen="; ".join(said), fix="" if ok else fix)


def _room(file: Path) -> Check:
    try:
        free = shutil.disk_usage(file.parent).free
    except OSError as error:
        return Check("ledger disk", ok=False, seen=f"{file.parent}: {error.strerror}", fix="mount the disk")
    ok = free >= _LEAST_FREE
    return Check(
        "ledger disk",
        ok=ok,
        seen=f"{free / (1 << 30):.1f} GB free at {file.parent}",
        fix="" if ok else "free some space: at least 1 GB for repositories, logs and the ledger",
    )
