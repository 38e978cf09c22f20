"""Apps."""

from dataclasses import replace
from typing import Any

from sqlalchemy import Row, delete, insert, select, update

from gitreceive.engines.sql_ledger.database import now
from gitreceive.engines.sql_ledger.part import Part
from gitreceive.engines.sql_ledger.schema import apps, jobs
from gitreceive.errors import ConflictError, NotFoundError
from gitreceive.model import App, AppName, UserName


class Apps(Part):
    """The port ``AppLedger``."""

    def create_app(self, name: AppName, owner: UserName, branch: str) -> App:
        with self._database.writing() as connection:
            if connection.execute(select(apps.c.name).where(apps.c.name == name)).first():
                raise ConflictError(f"there is an app {name} already", hint="choose another name")
            app = App(name, owner, branch, now(connection))
            connection.execute(
                insert(apps).values(name=name, owner=owner, branch=branch, created_at=app.created_at)
            )
        return app

    def app(self, name: AppName) -> App:
        with self._database.reading() as connection:
            row = connection.execute(select(apps).where(apps.c.name == name)).first()
        if row is None:
            raise no_app(name)
        return _app(row)

    def apps(self) -> tuple[App, ...]:
        with self._database.reading() as connection:
            found = {row.name: _app(row) for row in connection.execute(select(apps))}
        return tuple(found[name] for name in sorted(found))  # by bytes, whatever the database's collation

    def set_buildpacks(self, name: AppName, before: tuple[str, ...], after: tuple[str, ...]) -> App:
        with self._database.writing() as connection:
            row = connection.execute(select(apps).where(apps.c.name == name)).first()
            if row is None:
                raise no_app(name)
            app = _app(row)
            if app.buildpacks != before:
                raise ConflictError(
                    f"the buildpacks of {name} were changed just now",
                    hint=f"look, and try again: gitreceive buildpacks list {name}",
                )
            connection.execute(update(apps).where(apps.c.name == name).values(buildpacks=list(after)))
        return replace(app, buildpacks=after)

    def delete_app(self, name: AppName) -> None:
        under_way = select(jobs.c.id).where(jobs.c.app == name, jobs.c.ended_at.is_(None)).order_by(jobs.c.id)
        with self._database.writing() as connection:
            if (job := connection.execute(under_way).scalar()) is not None:
                raise ConflictError(
                    f"build {job} of {name} has not ended",
                    hint=f"wait for it, or stop it: builds cancel {job}",
                )
            if connection.execute(delete(apps).where(apps.c.name == name)).rowcount == 0:
                raise no_app(name)


def no_app(name: AppName) -> NotFoundError:
    return NotFoundError(f"there is no app {name}", hint=f"create it: apps create {name}")


def _app(row: Row[Any]) -> App:
    return App(AppName(row.name), UserName(row.owner), row.branch, row.created_at, tuple(row.buildpacks))
