"""Jobs and their leases.

A job is held by whoever raised its ``fence`` last. An older fence can record nothing any more, however long its holder
slept; that, and not the clock, is what keeps two holders apart. The lease only says when a job may be claimed again.
"""

from collections.abc import Mapping
from datetime import UTC, datetime, timedelta
from typing import Any

from sqlalchemy import (
    BindParameter,
    ColumnElement,
    Connection,
    Row,
    Select,
    Subquery,
    bindparam,
    case,
    delete,
    exists,
    func,
    insert,
    literal,
    select,
    update,
)

from gitreceive.engines.sql_ledger.apps import unlocked
from gitreceive.engines.sql_ledger.causes import cause_columns, cause_from
from gitreceive.engines.sql_ledger.database import now
from gitreceive.engines.sql_ledger.documents import image_document, image_from, storable
from gitreceive.engines.sql_ledger.events import note, note_of_server
from gitreceive.engines.sql_ledger.part import Part
from gitreceive.engines.sql_ledger.quotas import reached_by, within_builds
from gitreceive.engines.sql_ledger.routing import claim_domains
from gitreceive.engines.sql_ledger.schema import Instant, apps, jobs, releases
from gitreceive.errors import ConflictError, LeaseLostError, NotFoundError, UsageError
from gitreceive.model import (
    AppName,
    Cause,
    ConfigChange,
    Image,
    InLine,
    Job,
    JobId,
    JobState,
    Outcome,
    QueueLimits,
    SettingsChange,
    UserName,
    Waiting,
)


class Jobs(Part):
    """The port ``JobLedger``."""

    _queue: QueueLimits

    def enqueue(self, cause: Cause) -> Job:
        with self._database.writing() as connection:
            unlocked(connection, cause.app)
            self._queue.require_room(cause.app, cause.user, _waiting(connection, cause))
            if isinstance(cause, SettingsChange):
                claim_domains(connection, cause.app, cause.domains)
            new = connection.execute(
                insert(jobs)
                .returning(jobs.c.id)
                .values(
                    app=cause.app,
                    user=cause.user,
                    **cause_columns(cause),
                    state=JobState.QUEUED,
                    created_at=now(connection),
                    fence=0,
                    reason="",
                    seconds={},
                )
            )
            job = read_job(connection, JobId(new.scalar_one()))
            note(connection, cause.kind, f"build {job.id}: {job.title}", cause.app)
            return job

    def job(self, job: JobId) -> Job:
        with self._database.reading() as connection:
            return read_job(connection, job)

    def jobs(self, app: AppName | None = None, limit: int = 20) -> tuple[Job, ...]:
        query = _SELECT.order_by(jobs.c.id.desc()).limit(limit)
        if app is not None:
            query = query.where(jobs.c.app == app)
        with self._database.reading() as connection:
            return tuple(_job(row) for row in connection.execute(query))

    def in_line(self) -> tuple[InLine, ...]:
        with self._database.reading() as connection:
            found = connection.execute(_IN_LINE).all()
        return tuple(
            InLine(JobId(row.id), AppName(row.app), UserName(row.user), JobState(row.state), row.since)
            for row in found
        )

    def held_back(self, job: JobId) -> str:
        with self._database.reading() as connection:
            return reached_by(connection, job, now(connection))

    def claim(self, holder: str, lease_seconds: float) -> Job | None:
        with self._database.writing() as connection:
            time = now(connection)
            found = connection.execute(_CLAIMABLE, {"time": time}).scalar()
            if found is None:
                return None
            job = JobId(found)
            connection.execute(
                update(jobs)
                .where(jobs.c.id == job)
                .values(
                    fence=jobs.c.fence + 1,
                    holder=holder,
                    lease_until=time + timedelta(seconds=lease_seconds),
                    started_at=func.coalesce(jobs.c.started_at, literal(time, Instant), type_=Instant()),
                )
            )
            return read_job(connection, job)

    def hand_over(self, holder: str) -> tuple[JobId, ...]:
        with self._database.writing() as connection:
            held = connection.execute(
                update(jobs)
                .returning(jobs.c.id)
                .where(jobs.c.holder == holder, jobs.c.ended_at.is_(None))
                .values(fence=jobs.c.fence + 1, holder=None, lease_until=None)
            )
            return tuple(sorted(JobId(id_) for id_ in held.scalars()))

    def renew(self, job: JobId, fence: int, lease_seconds: float) -> Job:
        with self._database.writing() as connection:
            held(connection, job, fence)
            until = now(connection) + timedelta(seconds=lease_seconds)
            connection.execute(update(jobs).where(jobs.c.id == job).values(lease_until=until))
            return read_job(connection, job)

    def request_cancel(self, job: JobId, by: str) -> Job:
        with self._database.writing() as connection:
            found = read_job(connection, job)
            if found.state.ended:
                raise ConflictError(f"build {job} has ended already: it is {found.state}")
            by = found.cancel_requested_by or by
            connection.execute(update(jobs).where(jobs.c.id == job).values(cancel_requested_by=by))
            note(connection, "builds cancel", f"build {job}: {found.title}", found.app)
            if found.state is JobState.QUEUED:
                record_end(connection, job, JobState.CANCELED, f"canceled by {by}", {})
            return read_job(connection, job)

    def advance(self, job: JobId, fence: int, state: JobState, *, image: Image | None = None) -> Job:
        """Raises UsageError for a state that ends: see ``end`` and ``go_live``."""
        if state.ended:
            raise UsageError(f"a job does not advance to {state}: it ends so")
        values: dict[str, Any] = {"state": state}
        if image is not None:
            values["image"] = image_document(image)
        with self._database.writing() as connection:
            held(connection, job, fence)
            connection.execute(update(jobs).where(jobs.c.id == job).values(**values))
            return read_job(connection, job)

    def end(self, job: JobId, fence: int, state: JobState, reason: str, seconds: Mapping[str, float]) -> Job:
        """Raises UsageError for any other state than failed and canceled."""
        if state not in {JobState.FAILED, JobState.CANCELED}:
            raise UsageError(f"a job does not end as {state} here")
        with self._database.writing() as connection:
            held(connection, job, fence)
            connection.execute(delete(releases).where(releases.c.job == job, releases.c.live_at.is_(None)))
            record_end(connection, job, state, reason, seconds)
            return read_job(connection, job)


def _waiting(connection: Connection, cause: Cause) -> Waiting:
    def those(holds: ColumnElement[bool]) -> ColumnElement[int]:
        return func.coalesce(func.sum(case((holds, 1), else_=0)), 0)

    columns = (func.count(), those(jobs.c.user == cause.user), those(jobs.c.app == cause.app))
    found = connection.execute(select(*columns).where(jobs.c.ended_at.is_(None))).one()
    return Waiting(*map(int, found))


def held(connection: Connection, job: JobId, fence: int) -> Job:
    """The job, which ``fence`` still holds. Raises LeaseLostError, NotFoundError."""
    found = read_job(connection, job)
    if found.state.ended:
        raise LeaseLostError(f"build {job} has ended meanwhile: it is {found.state}")
    if found.fence != fence:
        raise LeaseLostError(f"build {job} was taken over by another server")
    return found


def record_end(
    connection: Connection, id_: JobId, state: JobState, reason: str, seconds: Mapping[str, float]
) -> None:
    """The job has ended so, now, and nobody holds it. What it was to set is forgotten, but for the names."""
    job = read_job(connection, id_)
    cause = job.cause
    if isinstance(cause, ConfigChange):
        bare = cause_columns(cause.without_values())
        connection.execute(update(jobs).where(jobs.c.id == id_).values(**bare))
    connection.execute(
        update(jobs)
        .where(jobs.c.id == id_)
        .values(
            state=state,
            reason=storable(reason),
            seconds=dict(seconds),
            ended_at=now(connection),
            holder=None,
            lease_until=None,
        )
    )
    note_of_server(
        connection, job.user, "build", job.app, f"build {job.id}: {job.title}", _OUTCOME[state], reason
    )


_OUTCOME = {
    JobState.LIVE: Outcome.DONE,
    JobState.FAILED: Outcome.FAILED,
    JobState.CANCELED: Outcome.FAILED,
}


def unended(connection: Connection, app: AppName | None = None) -> list[Job]:
    """Jobs, of the app or of all, that have not ended."""
    query = _SELECT.where(jobs.c.ended_at.is_(None))
    if app is not None:
        query = query.where(jobs.c.app == app)
    return [_job(row) for row in connection.execute(query.order_by(jobs.c.id))]


def _claimable() -> Select[Any]:
    """The job to work on next, at ``time``. See the port for who comes first."""
    time: BindParameter[datetime] = bindparam("time", type_=Instant())
    earlier = jobs.alias("earlier")
    not_first = exists().where(
        earlier.c.app == jobs.c.app, earlier.c.id < jobs.c.id, earlier.c.ended_at.is_(None)
    )
    held = exists().where(apps.c.name == jobs.c.app, apps.c.held_until > time)
    turns = _turns(time)
    never = literal(datetime.fromtimestamp(0, UTC), Instant)  # databases order NULL differently
    return (
        select(jobs.c.id)
        .join_from(jobs, turns, turns.c.user == jobs.c.user)
        .where(jobs.c.ended_at.is_(None), ~not_first, ~held)
        .where(jobs.c.lease_until.is_(None) | (jobs.c.lease_until <= time))
        .where(within_builds(time))
        .order_by(
            case((jobs.c.fence > 0, 0), else_=1),
            turns.c.under_way,
            func.coalesce(turns.c.served_at, never),
            jobs.c.id,
        )
        .limit(1)
    )


def _turns(time: BindParameter[datetime]) -> Subquery:
    """By user: how many jobs are under way, and when one was begun last. What had ended before the oldest that waits was asked for does
    not count, so that the cost is that of the queue and not of the history.
    """
    of, waiting = jobs.alias("of_user"), jobs.alias("waiting")
    since = select(func.min(waiting.c.created_at)).where(waiting.c.ended_at.is_(None)).scalar_subquery()
    under_way = case((of.c.ended_at.is_(None) & (of.c.lease_until > time), 1), else_=0)
    columns = (
        of.c.user,
        func.sum(under_way).label("under_way"),
        func.max(of.c.started_at).label("served_at"),
    )
    counts = of.c.ended_at.is_(None) | (of.c.ended_at >= since)
    return select(*columns).where(counts).group_by(of.c.user).subquery("turns")


# made once: they take longer to put together than to answer
_SELECT = select(jobs, releases.c.number.label("release")).join_from(
    jobs, releases, releases.c.job == jobs.c.id, isouter=True
)
_ONE = _SELECT.where(jobs.c.id == bindparam("job"))
_CLAIMABLE = _claimable()
_IN_LINE = (
    select(
        jobs.c.id,
        jobs.c.app,
        jobs.c.user,
        jobs.c.state,
        func.coalesce(jobs.c.started_at, jobs.c.created_at, type_=Instant()).label("since"),
    )
    .where(jobs.c.ended_at.is_(None))
    .order_by(jobs.c.id)
)


def read_job(connection: Connection, job: JobId) -> Job:
    """Raises NotFoundError."""
    row = connection.execute(_ONE, {"job": job}).first()
    if row is None:
        raise NotFoundError(f"there is no build {job}", hint="builds list shows the newest")
    return _job(row)


def _job(row: Row[Any]) -> Job:
    return Job(
        id=JobId(row.id),
        cause=cause_from(row),
        state=JobState(row.state),
        created_at=row.created_at,
        started_at=row.started_at,
        ended_at=row.ended_at,
        fence=row.fence,
        cancel_requested_by=row.cancel_requested_by,
        image=image_from(row.image) if row.image else None,
        release=row.release,
        reason=row.reason,
        seconds=row.seconds,
    )
