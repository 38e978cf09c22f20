"""Alembic migrations, run by code when a ledger is opened whose schema is behind. Slow to import: only then."""

from pathlib import Path

from alembic import command
from alembic.config import Config
from alembic.script import ScriptDirectory
from sqlalchemy import Connection

from gitreceive.errors import ConfigError


def upgrade(connection: Connection, found: str | None, to: str = "head") -> None:
    """Bring the schema from revision ``found`` (None: an empty database) to ``to``, in the caller's transaction.

    Raises ConfigError where ``found`` is not known here: a newer gitreceive wrote it.
    """
    known = scripts()
    if found is not None and found not in {script.revision for script in known.walk_revisions()}:
        raise ConfigError(
            f"the ledger was written by a newer gitreceive: its schema is {found}",
            hint="run that version or a later one; going back needs a backup from before the upgrade",
        )
    config = _config()
    config.attributes["connection"] = connection
    command.upgrade(config, to)


def scripts() -> ScriptDirectory:
    """All migrations that this version knows."""
    return ScriptDirectory.from_config(_config())


def _config() -> Config:
    config = Config()
    config.set_main_option("script_location", str(Path(__file__).parent).replace("%", "%%"))
    config.set_main_option("path_separator", "os")
    return config
