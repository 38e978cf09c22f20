"""Log drains."""

from collections.abc import Mapping
from typing import Any

from sqlalchemy import Row, delete, insert, select

from gitreceive.engines.sql_ledger.apps import no_app
from gitreceive.engines.sql_ledger.database import now
from gitreceive.engines.sql_ledger.documents import config_document, config_from
from gitreceive.engines.sql_ledger.events import note
from gitreceive.engines.sql_ledger.part import Part
from gitreceive.engines.sql_ledger.schema import apps, drains
from gitreceive.errors import ConflictError, NotFoundError
from gitreceive.model import MOST_DRAINS, AppName, Drain, Secret, UserName


class Drains(Part):
    """The port ``DrainLedger``."""

    def add_drain(self, app: AppName, user: UserName, url: Secret, headers: Mapping[str, Secret]) -> Drain:
        with self._database.writing() as connection:
            if not connection.execute(select(apps.c.name).where(apps.c.name == app)).first():
                raise no_app(app)
            there = connection.execute(select(drains.c.url).where(drains.c.app == app)).scalars().all()
            if url.reveal() in there:
                raise ConflictError(
                    f"{app} has that log drain already", hint=f"see: gitreceive log-drains list {app}"
                )
            if len(there) >= MOST_DRAINS:
                raise ConflictError(
                    f"{app} has {MOST_DRAINS} log drains already", hint="remove one: log-drains remove"
                )
            values = {"app": app, "user": user, "url": url.reveal(), "headers": config_document(headers)}
            at = now(connection)
            made = connection.execute(insert(drains).values(**values, created_at=at)).inserted_primary_key
            note(connection, "log-drains add", f"log drain {int(made[0] if made else 0)}", app)
            return Drain(int(made[0] if made else 0), app, user, url, at, dict(headers))

    def drains(self, app: AppName | None = None) -> tuple[Drain, ...]:
        query = select(drains).order_by(drains.c.id)
        with self._database.reading() as connection:
            rows = connection.execute(query if app is None else query.where(drains.c.app == app)).all()
        return tuple(_drain(row) for row in rows)

    def remove_drain(self, app: AppName, drain: int) -> Drain:
        chosen = (drains.c.app == app, drains.c.id == drain)
        with self._database.writing() as connection:
            row = connection.execute(select(drains).where(*chosen)).first()
            if row is None:
                raise NotFoundError(
                    f"{app} has no log drain {drain}", hint=f"see: gitreceive log-drains list {app}"
                )
            connection.execute(delete(drains).where(*chosen))
            note(connection, "log-drains remove", f"log drain {drain}", app)
            return _drain(row)


def _drain(row: Row[Any]) -> Drain:
    return Drain(
        row.id,
        AppName(row.app),
        UserName(row.user),
        Secret(row.url),
        row.created_at,
        config_from(row.headers),
    )
