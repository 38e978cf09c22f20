"""Stacks."""

from typing import Any

from sqlalchemy import Row, delete, insert, select

from gitreceive.engines.sql_ledger.documents import packages_document, packages_from
from gitreceive.engines.sql_ledger.part import Part
from gitreceive.engines.sql_ledger.schema import stacks
from gitreceive.model import ImageRef, Stack


class Stacks(Part):
    """The port ``StackLedger``."""

    def put_stack(self, stack: Stack) -> None:
        with self._database.writing() as connection:
            connection.execute(delete(stacks).where(stacks.c.name == stack.name))
            connection.execute(
                insert(stacks).values(
                    name=stack.name,
                    build=str(stack.build),
                    run=str(stack.run),
                    build_bytes=stack.build_bytes,
                    run_bytes=stack.run_bytes,
                    packages=packages_document(stack.packages),
                    created_at=stack.created_at,
                )
            )

    def stack(self, name: str) -> Stack | None:
        with self._database.reading() as connection:
            row = connection.execute(select(stacks).where(stacks.c.name == name)).first()
        return _stack(row) if row else None

    def stacks(self) -> tuple[Stack, ...]:
        with self._database.reading() as connection:
            found = {row.name: _stack(row) for row in connection.execute(select(stacks))}
        return tuple(found[name] for name in sorted(found))


def _stack(row: Row[Any]) -> Stack:
    return Stack(
        name=row.name,
        build=ImageRef.parse(row.build),
        run=ImageRef.parse(row.run),
        build_bytes=row.build_bytes,
        run_bytes=row.run_bytes,
        packages=packages_from(row.packages),
        created_at=row.created_at,
    )
