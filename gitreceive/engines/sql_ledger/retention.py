"""Holding apps, and forgetting what is no longer kept of them."""

from collections.abc import Collection
from datetime import timedelta

from sqlalchemy import select, update

from gitreceive.engines.sql_ledger.database import now
from gitreceive.engines.sql_ledger.documents import image_from
from gitreceive.engines.sql_ledger.jobs import unended
from gitreceive.engines.sql_ledger.part import Part
from gitreceive.engines.sql_ledger.schema import apps, jobs, releases
from gitreceive.errors import LeaseLostError
from gitreceive.model import AppName, ImageRef, Job
from gitreceive.stories.retention import named


class Retention(Part):
    """The port ``RetentionLedger``."""

    def hold(self, app: AppName, holder: str, seconds: float) -> bool:
        with self._database.writing() as connection:
            row = connection.execute(
                select(apps.c.held_by, apps.c.held_until).where(apps.c.name == app)
            ).first()
            time = now(connection)
            if row is None:
                return False
            held = row.held_until is not None and row.held_until > time
            if held and row.held_by != holder:
                return False
            if not held and unended(connection, app):
                return False
            until = time + timedelta(seconds=seconds)
            connection.execute(
                update(apps).where(apps.c.name == app).values(held_by=holder, held_until=until)
            )
            return True

    def unended(self) -> tuple[Job, ...]:
        with self._database.reading() as connection:
            return tuple(unended(connection))

    def let_go(self, app: AppName, holder: str) -> None:
        with self._database.writing() as connection:
            connection.execute(
                update(apps)
                .where(apps.c.name == app, apps.c.held_by == holder)
                .values(held_by=None, held_until=None)
            )

    def collect(self, app: AppName, holder: str, numbers: Collection[int]) -> tuple[int, ...]:
        with self._database.writing() as connection:
            time = now(connection)
            holding = select(apps.c.name).where(
                apps.c.name == app, apps.c.held_by == holder, apps.c.held_until > time
            )
            if connection.execute(holding).first() is None:
                raise LeaseLostError(f"{app} is held no longer")
            live = (
                select(releases.c.number)
                .where(releases.c.app == app, releases.c.live_at.is_not(None))
                .order_by(releases.c.number.desc())
            )
            there = connection.execute(live.where(releases.c.collected_at.is_(None))).scalars().all()
            stays = {*there[:1], *named(app, unended(connection))}
            going = tuple(number for number in there if number in numbers and number not in stays)
            connection.execute(
                update(releases)
                .where(releases.c.app == app, releases.c.number.in_(going))
                .values(collected_at=time, config={})
            )
            return going

    def forget_images(self, app: AppName, images: Collection[ImageRef]) -> None:
        gone = set(images)
        with self._database.writing() as connection:
            made = select(jobs.c.id, jobs.c.image).where(
                jobs.c.app == app, jobs.c.ended_at.is_not(None), jobs.c.image.is_not(None)
            )
            found = [row.id for row in connection.execute(made) if image_from(row.image).ref in gone]
            connection.execute(update(jobs).where(jobs.c.id.in_(found)).values(image=None))
