"""What can be counted at a moment."""

from typing import Any

from sqlalchemy import Connection, Select, func, select, text

from gitreceive.engines.sql_ledger.database import Database, now
from gitreceive.engines.sql_ledger.part import Part
from gitreceive.engines.sql_ledger.schema import apps, events, jobs
from gitreceive.model import JobState, LedgerMeasures, Outcome


class Measures(Part):
    """The port ``MeasuredLedger``."""

    def measures(self, after_event: int) -> LedgerMeasures:
        with self._database.reading() as connection:
            counted = connection.execute(_EVENTS, {"after": after_event}).all()
            return LedgerMeasures(
                jobs={JobState(state): number for state, number in connection.execute(_JOBS)},
                oldest_queued_seconds=_oldest(connection),
                apps=connection.execute(select(func.count()).select_from(apps)).scalar_one(),
                events={(row.verb, Outcome(row.outcome)): row.number for row in counted},
                newest_event=max((row.newest for row in counted), default=after_event),
                size=_size(self._database, connection),
            )


_JOBS: Select[Any] = (
    select(jobs.c.state, func.count()).where(jobs.c.ended_at.is_(None)).group_by(jobs.c.state)
)
_EVENTS: Select[Any] = (
    select(
        events.c.verb,
        events.c.outcome,
        func.count().label("number"),
        func.max(events.c.id).label("newest"),
    )
    .where(events.c.id > text(":after"))
    .group_by(events.c.verb, events.c.outcome)
)


def _oldest(connection: Connection) -> float:
    queued = select(func.min(jobs.c.created_at)).where(
        jobs.c.ended_at.is_(None), jobs.c.state == JobState.QUEUED
    )
    oldest = connection.execute(queued).scalar()
    return max(0.0, (now(connection) - oldest).total_seconds()) if oldest else 0.0


def _size(database: Database, connection: Connection) -> int | None:
    if database.file:
        pages, size = (
            connection.execute(text(f"PRAGMA {name}")).scalar_one() for name in ("page_count", "page_size")
        )
        return int(pages) * int(size)
    return int(connection.execute(text("SELECT pg_database_size(current_database())")).scalar_one())
