"""What the parts of the ledger have in common."""

from gitreceive.engines.sql_ledger.database import Database


class Part:
    """Some of the ledger's methods over a database."""

    def __init__(self, database: Database) -> None:
        self._database = database
