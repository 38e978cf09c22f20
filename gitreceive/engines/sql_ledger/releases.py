"""Releases: numbered without gaps, because a number is only used up by going live."""

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import replace
from typing import Any

from sqlalchemy import Connection, Row, Select, insert, select, update

from gitreceive.engines.sql_ledger.apps import next_config
from gitreceive.engines.sql_ledger.database import now
from gitreceive.engines.sql_ledger.documents import config_document, config_from, image_document, image_from
from gitreceive.engines.sql_ledger.jobs import held, record_end
from gitreceive.engines.sql_ledger.part import Part
from gitreceive.engines.sql_ledger.schema import apps, releases
from gitreceive.engines.sql_ledger.settings import put_settings, settings_of
from gitreceive.errors import ConflictError, NotFoundError
from gitreceive.model import (
    AppName,
    AppSettings,
    CommitId,
    Declared,
    Image,
    Job,
    JobId,
    JobState,
    Release,
    Secret,
    UserName,
)
from gitreceive.model.declarations import declared_document, declared_from


class Releases(Part):
    """The port ``ReleaseLedger``."""

    def intend_release(
        self,
        job: JobId,
        fence: int,
        image: Image,
        commit: CommitId,
        description: str,
        config: Mapping[str, Secret] | None = None,
        settings: AppSettings | None = None,
        declared: Declared | None = None,
    ) -> Release:
        with self._database.writing() as connection:
            holding = held(connection, job, fence)
            if holding.release is None:
                _intend(connection, holding, image, commit, description, config, settings, declared)
            return _of_job(connection, job)

    def go_live(self, job: JobId, fence: int, seconds: Mapping[str, float]) -> Release:
        """Raises LeaseLostError; ConflictError where no release was intended for the job."""
        with self._database.writing() as connection:
            holding = held(connection, job, fence)
            if holding.release is None:
                raise ConflictError(f"build {job} has no release that could go live")
            connection.execute(update(releases).where(releases.c.job == job).values(live_at=now(connection)))
            connection.execute(update(apps).where(apps.c.name == holding.app).values(config={}))
            release = _of_job(connection, job)
            put_settings(connection, holding.app, release.settings)
            record_end(connection, job, JobState.LIVE, "", seconds)
            return release

    def current_release(self, app: AppName) -> Release | None:
        with self._database.reading() as connection:
            row = connection.execute(_live(app, 1)).first()
            return next(_live_now(connection, app, [row])) if row else None

    def release(self, app: AppName, number: int) -> Release:
        with self._database.reading() as connection:
            row = connection.execute(_live(app, 1).where(releases.c.number == number)).first()
            if row is None:
                raise NotFoundError(
                    f"there is no release v{number} of {app}", hint=f"gitreceive releases {app}"
                )
            if row.collected_at is not None:
                raise no_longer_kept(app, number, CommitId(row.commit))
            return next(_live_now(connection, app, [row]))

    def releases(self, app: AppName, limit: int = 20) -> tuple[Release, ...]:
        with self._database.reading() as connection:
            return tuple(_live_now(connection, app, connection.execute(_live(app, limit)).all()))


def no_longer_kept(app: AppName, number: int, commit: CommitId) -> NotFoundError:
    return NotFoundError(
        f"{app} v{number} is no longer kept: too many came after it",
        hint=f"choose a newer one (gitreceive releases {app}), or push its commit, {commit.short}, again",
    )


def _intend(
    connection: Connection,
    job: Job,
    image: Image,
    commit: CommitId,
    description: str,
    config: Mapping[str, Secret] | None,
    settings: AppSettings | None,
    declared: Declared | None,
) -> None:
    last = connection.execute(_live(job.app, 1)).first()
    connection.execute(
        insert(releases).values(
            app=job.app,
            number=last.number + 1 if last else 1,
            job=job.id,
            image=image_document(image),
            commit=commit,
            config=next_config(connection, job.app) if config is None else config_document(config),
            settings=settings.document() if settings else settings_of(connection, job.app),
            declared=_declared(last, declared),
            user=job.user,
            description=description,
            created_at=now(connection),
        )
    )


def _declared(last: Row[Any] | None, declared: Declared | None) -> dict[str, Any]:
    if declared is not None:
        return declared_document(declared)
    return dict(last.declared) if last else {}


def _live(app: AppName, limit: int) -> Select[Any]:
    return (
        select(releases)
        .where(releases.c.app == app, releases.c.live_at.is_not(None))
        .order_by(releases.c.number.desc())
        .limit(limit)
    )


def _of_job(connection: Connection, job: JobId) -> Release:
    return _release(connection.execute(select(releases).where(releases.c.job == job)).one())


def _live_now(connection: Connection, app: AppName, rows: Sequence[Row[Any]]) -> Iterator[Release]:
    """Those that went live: what is not their own is as the app has it by now, which is read once."""
    if rows:
        now_set = AppSettings.parse(settings_of(connection, app))
        for row in rows:
            release = _release(row)
            yield replace(release, settings=now_set.running(release.settings.runtime))


def _release(row: Row[Any]) -> Release:
    return Release(
        app=AppName(row.app),
        number=row.number,
        image=image_from(row.image),
        commit=CommitId(row.commit),
        config=config_from(row.config),
        user=UserName(row.user),
        description=row.description,
        created_at=row.created_at,
        settings=AppSettings.parse(row.settings),
        kept=row.collected_at is None,
        declared=declared_from(row.declared),
    )
