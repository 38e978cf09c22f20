"""All sealed values of the ledger, sealed anew with the newest key."""

from sqlalchemy import Column, Connection, Table, select, update

from gitreceive.engines.sql_ledger.part import Part
from gitreceive.engines.sql_ledger.schema import Sealed, metadata


class Sealing(Part):
    """The port ``SealedLedger``."""

    def reseal(self) -> int:
        with self._database.writing() as connection:
            count = reseal(connection)
        self._database.scrub()
        return count

    def rotate_key(self) -> int:
        keyring = self._database.keyring
        keyring.rotate()
        count = self.reseal()  # whoever writes from here on has seen the new key
        keyring.forget_old()
        return count


def reseal(connection: Connection) -> int:
    """How many values that were. Raises ConfigError where one cannot be opened; the caller's transaction has then to be undone."""
    return sum(
        _reseal(connection, table, column)
        for table in metadata.sorted_tables
        for column in table.columns
        if isinstance(column.type, Sealed)
    )


def _reseal(connection: Connection, table: Table, column: "Column[object]") -> int:
    keys = list(table.primary_key.columns)
    rows = connection.execute(select(*keys, column)).all()
    for row in rows:
        here = [key == value for key, value in zip(keys, row, strict=False)]
        connection.execute(update(table).where(*here).values({column: row[-1]}))
    return len(rows)
