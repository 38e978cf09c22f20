"""The ledger as a file for elsewhere, and apps that come from elsewhere."""

import os
import sqlite3
from collections.abc import Mapping, Sequence
from contextlib import closing
from pathlib import Path

from sqlalchemy import Connection, insert, select

from gitreceive.engines.sql_ledger.apps import rules_document
from gitreceive.engines.sql_ledger.causes import cause_columns
from gitreceive.engines.sql_ledger.database import now
from gitreceive.engines.sql_ledger.documents import config_document, image_document
from gitreceive.engines.sql_ledger.part import Part
from gitreceive.engines.sql_ledger.routing import claim_domains
from gitreceive.engines.sql_ledger.schema import apps, jobs, releases
from gitreceive.engines.sql_ledger.settings import put_settings
from gitreceive.errors import ConflictError, UnavailableError, UsageError
from gitreceive.model import ZERO_COMMIT, App, AppSettings, JobState, Push, PushOptions, Release, Secret
from gitreceive.model.declarations import declared_document


class Archive(Part):
    """The port ``ArchiveLedger``."""

    def backup(self, path: Path) -> None:
        """By SQLite's online backup (sqlite.org, "SQLite Backup API"); then looked through, so that what is there can be relied on."""
        source = self._database.file
        if source is None:
            raise UsageError(
                f"the ledger is {self._database.name}, and no file",
                hint="use the database's own: pg_dump, say",
            )
        try:
            os.close(os.open(path, os.O_RDWR | os.O_CREAT | os.O_EXCL | os.O_CLOEXEC, 0o600))
        except FileExistsError:
            raise UsageError(
                f"{path} is there already, and is not overwritten", hint="name a new file"
            ) from None
        except OSError as error:
            raise UnavailableError(
                f"{path} cannot be written: {error.strerror}", hint="name another file"
            ) from error
        try:
            _copy(source, path)
        except (OSError, sqlite3.Error) as error:
            path.unlink(missing_ok=True)
            raise UnavailableError(
                f"the ledger cannot be copied to {path}: {error}",
                hint="see to the disk; gitreceive doctor tells more",
            ) from error

    def take_over(
        self, app: App, config: Mapping[str, Secret], settings: AppSettings, releases: Sequence[Release]
    ) -> App:
        with self._database.writing() as connection:
            if connection.execute(select(apps.c.name).where(apps.c.name == app.name)).first():
                raise ConflictError(
                    f"there is an app {app.name} already", hint="destroy it, or choose another name"
                )
            connection.execute(
                insert(apps).values(
                    name=app.name,
                    owner=app.owner,
                    branch=app.branch,
                    created_at=app.created_at,
                    buildpacks=list(app.buildpacks),
                    reviews=rules_document(app.reviews),
                    config={} if releases else config_document(config),
                )
            )
            for release in releases:
                _put(connection, app, release)
            claim_domains(connection, app.name, settings.routing.domains)
            put_settings(connection, app.name, settings)
        return app


def _copy(source: Path, path: Path) -> None:
    with closing(sqlite3.connect(source)) as ledger, closing(sqlite3.connect(path)) as copy:
        ledger.backup(copy)
        copy.execute("PRAGMA journal_mode = DELETE")  # one file, with nothing beside it
        said = copy.execute("PRAGMA quick_check(3)").fetchall()
        if said != [("ok",)]:
            raise sqlite3.DatabaseError(f"the copy is not sound: {said[0][0]}")
    with path.open("rb") as file:
        os.fsync(file.fileno())


def _put(connection: Connection, app: App, release: Release) -> None:
    """With a job, as every release has one: a push of its commit."""
    push = Push(app.name, release.user, app.deploy_ref, ZERO_COMMIT, release.commit, PushOptions())
    time = now(connection)
    job = connection.execute(
        insert(jobs)
        .returning(jobs.c.id)
        .values(
            app=app.name,
            user=release.user,
            **cause_columns(push),
            state=JobState.LIVE,
            created_at=release.created_at,
            started_at=release.created_at,
            ended_at=time,
            fence=1,
            image=image_document(release.image) if release.kept else None,
            reason="imported",
            seconds={},
        )
    ).scalar_one()
    connection.execute(
        insert(releases).values(
            app=app.name,
            number=release.number,
            job=job,
            image=image_document(release.image),
            commit=release.commit,
            config=config_document(release.config),
            settings=release.settings.document(),
            declared=declared_document(release.declared),
            user=release.user,
            description=release.description,
            created_at=release.created_at,
            live_at=release.created_at,
            collected_at=None if release.kept else time,
        )
    )
