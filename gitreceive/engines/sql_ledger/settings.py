"""What people set for apps. It changes with a job alone, once something of the app is live."""

from collections.abc import Mapping
from typing import Any

from sqlalchemy import Connection, select, update

from gitreceive.engines.sql_ledger.apps import no_app, require_no_release
from gitreceive.engines.sql_ledger.events import note
from gitreceive.engines.sql_ledger.jobs import held, read_job, record_end
from gitreceive.engines.sql_ledger.part import Part
from gitreceive.engines.sql_ledger.routing import claim_domains, let_domains_go
from gitreceive.engines.sql_ledger.schema import apps
from gitreceive.errors import ConflictError
from gitreceive.model import AppName, AppSettings, Job, JobId, JobState


class Settings(Part):
    """The port ``SettingsLedger``."""

    def settings(self, app: AppName) -> AppSettings:
        with self._database.reading() as connection:
            return AppSettings.parse(settings_of(connection, app))

    def keep_settings(self, app: AppName, before: AppSettings, after: AppSettings) -> None:
        with self._database.writing() as connection:
            if AppSettings.parse(settings_of(connection, app)) != before:
                raise ConflictError(
                    f"the settings of {app} were changed just now", hint="look, and try again"
                )
            require_no_release(connection, app)
            claim_domains(connection, app, after.routing.domains)
            put_settings(connection, app, after)
            was, now_ = before.document(), after.document()
            note(connection, "settings", ", ".join(name for name in now_ if now_[name] != was[name]), app)

    def settle(self, job: JobId, fence: int, settings: AppSettings, seconds: Mapping[str, float]) -> Job:
        with self._database.writing() as connection:
            holding = held(connection, job, fence)
            put_settings(connection, holding.app, settings)
            record_end(connection, job, JobState.LIVE, "", seconds)
            return read_job(connection, job)


def settings_of(connection: Connection, app: AppName) -> dict[str, Any]:
    """The document, as the app has it now. Raises NotFoundError."""
    row = connection.execute(select(apps.c.settings).where(apps.c.name == app)).first()
    if row is None:
        raise no_app(app)
    found: dict[str, Any] = row.settings
    return found


def put_settings(connection: Connection, app: AppName, settings: AppSettings) -> None:
    let_domains_go(connection, app, settings)
    connection.execute(update(apps).where(apps.c.name == app).values(settings=settings.document()))
