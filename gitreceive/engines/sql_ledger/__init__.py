"""The ledger in a SQL database: SQLite in WAL mode by default, PostgreSQL by URL.

Several processes and threads may use one database at once: each change is one transaction, and changes are made one after
the other, so that what a change has read still holds when it is committed.
"""

from collections.abc import Iterable
from pathlib import Path

from sqlalchemy.engine import make_url
from sqlalchemy.exc import ArgumentError

from gitreceive.config import Settings
from gitreceive.engines.sql_ledger.access import Access
from gitreceive.engines.sql_ledger.apps import Apps
from gitreceive.engines.sql_ledger.archive import Archive
from gitreceive.engines.sql_ledger.checks import findings
from gitreceive.engines.sql_ledger.database import Database
from gitreceive.engines.sql_ledger.drains import Drains
from gitreceive.engines.sql_ledger.events import Events
from gitreceive.engines.sql_ledger.jobs import Jobs
from gitreceive.engines.sql_ledger.keyring import Keyring
from gitreceive.engines.sql_ledger.keys import Keys
from gitreceive.engines.sql_ledger.measures import Measures
from gitreceive.engines.sql_ledger.people import Teams, Users
from gitreceive.engines.sql_ledger.quotas import Quotas
from gitreceive.engines.sql_ledger.releases import Releases
from gitreceive.engines.sql_ledger.retention import Retention
from gitreceive.engines.sql_ledger.routing import Certificates
from gitreceive.engines.sql_ledger.sealing import Sealing
from gitreceive.engines.sql_ledger.settings import Settings as SettingsPart
from gitreceive.engines.sql_ledger.stacks import Stacks
from gitreceive.engines.sql_ledger.tokens import Tokens
from gitreceive.errors import ConfigError
from gitreceive.model import Check, QueueLimits


def open_ledger(settings: Settings) -> "SqlLedger":
    """The ledger that the settings name: ``database``, else the file ``ledger.db`` in the data folder."""
    file = settings.ledger_key_file or settings.data_dir / "ledger.key"
    keyring = Keyring(Path(file).expanduser(), settings.ledger_key)
    limits = settings.limits
    queue = QueueLimits(limits.queue, limits.user_queue, limits.app_queue)
    return SqlLedger(settings.database or f"sqlite:///{settings.data_dir / 'ledger.db'}", keyring, queue)


class SqlLedger(
    Apps,
    Archive,
    Certificates,
    Drains,
    Keys,
    Users,
    Teams,
    Access,
    Tokens,
    Events,
    Quotas,
    Jobs,
    Releases,
    Retention,
    Sealing,
    SettingsPart,
    Stacks,
    Measures,
):
    """The port ``Ledger``."""

    def __init__(self, url: str, keyring: Keyring, queue: QueueLimits | None = None) -> None:
        """Open the database, making it where there is none, and bring its schema up to date.

        Raises ConfigError where the URL is malformed, its driver is missing, or the ledger was written by a newer
        gitreceive; UnavailableError where the database does not answer or cannot be written.
        """
        try:
            parsed = make_url(url)
        except (ArgumentError, ValueError):
            raise ConfigError(
                "the setting database is not a database URL",
                hint="write postgresql+psycopg://USER:PASSWORD@HOST/NAME, or leave it empty for SQLite",
            ) from None
        super().__init__(Database(parsed, keyring))
        self._queue = queue or QueueLimits()

    def check(self) -> Iterable[Check]:
        """Schema, integrity, keys, and the room on the disk."""
        return findings(self._database)

    def close(self) -> None:
        """Let go of the connections. May be called twice."""
        self._database.close()
