"""Transactions. Nothing of SQLAlchemy's errors leaves this module.

A change runs alone: SQLite's ``BEGIN IMMEDIATE`` takes the write lock before anything is read, and on PostgreSQL a
transaction-wide advisory lock does the same. So no change is ever based on what another is about to alter, and ids are in
the order of commits.
"""

import os
import sqlite3
import threading
import time
from collections.abc import Iterator
from contextlib import contextmanager
from datetime import datetime
from pathlib import Path
from typing import Any

from sqlalchemy import URL, Connection, Engine, create_engine, event, inspect, select, text
from sqlalchemy.exc import NoSuchModuleError, SQLAlchemyError

from gitreceive.engines.sql_ledger.keyring import Keyring
from gitreceive.engines.sql_ledger.schema import REVISION, Instant, database_time
from gitreceive.errors import ConfigError, GitreceiveError, UnavailableError

_BUSY_SECONDS = 30
_WRITER_LOCK = 0x67697472  # any number, the same in all versions: one change at a time (PostgreSQL)
_VERSION_TABLE = "alembic_version"
_SEALED_SINCE = "0013"  # what an earlier schema holds is in the clear


class Database:
    """An open database whose schema is the one that this version of gitreceive knows."""

    def __init__(self, url: URL, keyring: Keyring) -> None:
        self.url = url
        self.keyring = keyring
        self._engine = _engine(url)
        self._engine.dialect.gitreceive_keyring = keyring  # type: ignore[attr-defined]  # where a type of column finds it
        # threads of one process queue here, fairly, and not in SQLite's busy loop
        self._lock = threading.Lock()
        try:
            self._prepare()
        except GitreceiveError:
            self.close()
            raise

    @property
    def file(self) -> Path | None:
        """Where a SQLite ledger lies; None for any other."""
        return Path(self.url.database or "") if _is_sqlite(self.url) else None

    @property
    def name(self) -> str:
        """For people: the file, or the URL without its password."""
        return str(self.file or self.url.render_as_string(hide_password=True))

    @contextmanager
    def reading(self) -> Iterator[Connection]:
        """One consistent view; raises UnavailableError."""
        with self._mapped(), self._engine.connect() as connection, connection.begin():
            yield connection

    @contextmanager
    def writing(self) -> Iterator[Connection]:
        """One change, durable when this returns, undone when the block raises; raises UnavailableError."""
        with self._lock, self._mapped(), self._engine.connect() as connection:
            connection.execution_options(changes=True)
            with connection.begin():
                if not _is_sqlite(self.url):
                    connection.execute(text("SELECT pg_advisory_xact_lock(:lock)"), {"lock": _WRITER_LOCK})
                yield connection

    def revision(self) -> str | None:
        """The schema's version as the database has it; None in an empty one."""
        with self.reading() as connection:
            return _revision(connection)

    def scrub(self) -> None:
        """Leave nothing behind of what was overwritten. PostgreSQL does so by itself, with its autovacuum, in time."""
        if _is_sqlite(self.url):
            with self._lock, self._mapped(), self._engine.connect() as connection:
                cursor = connection.connection.cursor()  # not within a transaction, which all others are
                cursor.execute("VACUUM")
                cursor.execute("PRAGMA wal_checkpoint(TRUNCATE)")
                cursor.close()

    def close(self) -> None:
        self._engine.dispose()

    def _prepare(self) -> None:
        if self.file:
            _create_private(self.file)
        if self.revision() == REVISION:
            return
        from gitreceive.engines.sql_ledger.migrations import upgrade
        from gitreceive.engines.sql_ledger.sealing import reseal

        with self.writing() as connection:
            if (found := _revision(connection)) == REVISION:
                return  # somebody else was quicker
            unsealed = found is None or found < _SEALED_SINCE
            if unsealed:
                self.keyring.make()
            upgrade(connection, found)
            if unsealed:
                reseal(connection)
        if unsealed and found is not None:
            self.scrub()

    @contextmanager
    def _mapped(self) -> Iterator[None]:
        try:
            yield
        except SQLAlchemyError as error:
            raise _mapped(error, self.name) from error


def now(connection: Connection) -> datetime:
    """The database's own time: all servers agree on it."""
    found: datetime = connection.execute(_NOW).scalar_one()
    return found


_NOW = select(database_time(type_=Instant()))


def _is_sqlite(url: URL) -> bool:
    return url.get_backend_name() == "sqlite"


def _engine(url: URL) -> Engine:
    if url.get_backend_name() not in {"sqlite", "postgresql"} or (_is_sqlite(url) and not url.database):
        raise ConfigError(
            f"the setting database names {url.get_backend_name()!r}, which cannot hold the ledger",
            hint="use a SQLite file or postgresql+psycopg://USER:PASSWORD@HOST/NAME",
        )
    options: dict[str, Any] = {"pool_size": 5, "max_overflow": 60, "hide_parameters": True}
    if _is_sqlite(url):
        options["connect_args"] = {"timeout": _BUSY_SECONDS, "check_same_thread": False}
    else:
        options["pool_pre_ping"] = True  # a restarted PostgreSQL costs no job
    try:
        engine = create_engine(url, **options)
    except (ImportError, NoSuchModuleError) as error:
        raise ConfigError(
            f"the driver {url.drivername} of the setting database is not installed: {error}",
            hint="pip install 'psycopg[binary]' and write postgresql+psycopg://…",
        ) from error
    if _is_sqlite(url):
        event.listen(engine, "connect", _set_up_sqlite)
        event.listen(engine, "begin", _begin_sqlite)
    return engine


def _set_up_sqlite(connection: Any, _record: object) -> None:
    # sqlite3 must not begin transactions of its own: it would begin deferred ones, and end them around DDL
    connection.isolation_level = None
    cursor = connection.cursor()
    cursor.execute(f"PRAGMA busy_timeout = {_BUSY_SECONDS * 1000}")
    cursor.execute("PRAGMA foreign_keys = ON")
    cursor.execute("PRAGMA synchronous = FULL")  # an accepted push survives a power cut
    _switch_to_wal(cursor)
    cursor.close()


def _switch_to_wal(cursor: Any) -> None:
    """Once in a file's life. SQLite does not wait its busy_timeout where two processes try it at the same moment."""
    give_up = time.monotonic() + _BUSY_SECONDS
    while cursor.execute("PRAGMA journal_mode").fetchone() != ("wal",):
        try:
            cursor.execute("PRAGMA journal_mode = WAL")
        except sqlite3.OperationalError as error:
            if error.sqlite_errorcode != sqlite3.SQLITE_BUSY or time.monotonic() > give_up:
                raise
            time.sleep(0.01)


def _begin_sqlite(connection: Connection) -> None:
    changes = connection.get_execution_options().get("changes")
    connection.exec_driver_sql("BEGIN IMMEDIATE" if changes else "BEGIN")


def _create_private(file: Path) -> None:
    """The ledger holds config values: nobody but its owner reads it. SQLite's side files take over its mode."""
    try:
        file.parent.mkdir(parents=True, exist_ok=True, mode=0o700)
        # only where it is new: closing a file that SQLite has open too would drop this process's locks on it
        os.close(os.open(file, os.O_RDWR | os.O_CREAT | os.O_EXCL | os.O_CLOEXEC, 0o600))
    except FileExistsError:
        pass
    except OSError as error:
        raise UnavailableError(
            f"the ledger {file} cannot be opened: {error.strerror}",
            hint="run as the user who owns the data folder, or name another by GITRECEIVE_DATA_DIR",
        ) from error


def _revision(connection: Connection) -> str | None:
    if not inspect(connection).has_table(_VERSION_TABLE):
        return None
    found: str | None = connection.execute(text(f"SELECT version_num FROM {_VERSION_TABLE}")).scalar()  # noqa: S608
    return found


_FIXES = {
    "SQLITE_FULL": "free some space on its disk; nothing was lost",
    "SQLITE_READONLY": "run as the user who owns the file, and see that its disk is not mounted read-only",
    "SQLITE_CANTOPEN": "run as the user who owns the file, and see that its folder can be written",
    "SQLITE_BUSY": "another process holds it: look for one that hangs, then try again",
    "SQLITE_LOCKED": "another process holds it: look for one that hangs, then try again",
    "SQLITE_CORRUPT": "stop the server and restore the file from a backup; gitreceive doctor tells more",
    "SQLITE_NOTADB": "the file is something else: move it away, or restore it from a backup",
    "SQLITE_IOERR": "look at the disk's health in the system log",
}


def _mapped(error: SQLAlchemyError, name: str) -> GitreceiveError:
    cause = getattr(error, "orig", None) or error
    sqlite_name = str(getattr(cause, "sqlite_errorname", ""))
    fix = next((fix for code, fix in _FIXES.items() if sqlite_name.startswith(code)), "")
    said = " ".join(str(cause).split())
    return UnavailableError(
        f"the ledger {name} does not answer: {said}",
        hint=fix
        or "see that the database runs and can be reached, then try again; gitreceive doctor tells more",
    )
