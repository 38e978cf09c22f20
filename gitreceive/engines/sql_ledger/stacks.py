"""Stacks, each version a row: what an app was built on can be told long after a newer one was made."""

from dataclasses import replace
from typing import Any

from sqlalchemy import Row, Select, func, insert, select

from gitreceive.engines.sql_ledger.documents import (
    packages_document,
    packages_from,
    recipe_document,
    recipe_from,
)
from gitreceive.engines.sql_ledger.part import Part
from gitreceive.engines.sql_ledger.schema import stacks
from gitreceive.model import ImageRef, Stack


class Stacks(Part):
    """The port ``StackLedger``."""

    def put_stack(self, stack: Stack) -> Stack:
        with self._database.writing() as connection:
            newest = select(func.max(stacks.c.version)).where(stacks.c.name == stack.name)
            stack = replace(stack, version=(connection.execute(newest).scalar() or 0) + 1)
            connection.execute(
                insert(stacks).values(
                    name=stack.name,
                    version=stack.version,
                    build=str(stack.build),
                    run=str(stack.run),
                    build_bytes=stack.build_bytes,
                    run_bytes=stack.run_bytes,
                    packages=packages_document(stack.packages),
                    recipe=recipe_document(stack.recipe) if stack.recipe else None,
                    created_at=stack.created_at,
                )
            )
        return stack

    def stack(self, name: str, version: int | None = None) -> Stack | None:
        query = _newest_first().where(stacks.c.name == name)
        if version is not None:
            query = query.where(stacks.c.version == version)
        with self._database.reading() as connection:
            row = connection.execute(query.limit(1)).first()
        return _stack(row) if row else None

    def stacks(self) -> tuple[Stack, ...]:
        newest: dict[str, Stack] = {}
        for stack in self.stack_versions():
            newest.setdefault(stack.name, stack)
        return tuple(newest.values())

    def stack_versions(self, name: str | None = None) -> tuple[Stack, ...]:
        query = _newest_first()
        if name is not None:
            query = query.where(stacks.c.name == name)
        with self._database.reading() as connection:
            found = [_stack(row) for row in connection.execute(query)]
        return tuple(sorted(found, key=lambda stack: stack.name))


def _newest_first() -> Select[Any]:
    return select(stacks).order_by(stacks.c.version.desc())


def _stack(row: Row[Any]) -> Stack:
    return Stack(
        name=row.name,
        build=ImageRef.parse(row.build),
        run=ImageRef.parse(row.run),
        build_bytes=row.build_bytes,
        run_bytes=row.run_bytes,
        packages=packages_from(row.packages),
        created_at=row.created_at,
        recipe=recipe_from(row.recipe) if row.recipe else None,
        version=row.version,
    )
