"""Quotas, and which pushes wait because of one."""

from datetime import datetime
from typing import Any

from sqlalchemy import (
    BindParameter,
    ColumnElement,
    Connection,
    Row,
    bindparam,
    delete,
    exists,
    func,
    insert,
    select,
)

from gitreceive.engines.sql_ledger.apps import no_app
from gitreceive.engines.sql_ledger.events import note
from gitreceive.engines.sql_ledger.keys import no_user
from gitreceive.engines.sql_ledger.part import Part
from gitreceive.engines.sql_ledger.people import no_team
from gitreceive.engines.sql_ledger.schema import Instant, apps, jobs, members, quotas, teams, users
from gitreceive.errors import NotFoundError
from gitreceive.model import AppName, Push, Quota, QuotaKind, UserName, shown_bytes


class Quotas(Part):
    """The port ``QuotaLedger``."""

    def set_quota(self, quota: Quota) -> None:
        this = (quotas.c.kind == quota.kind, quotas.c.name == quota.name)
        with self._database.writing() as connection:
            _require(connection, quota)
            connection.execute(delete(quotas).where(*this))
            if not quota.empty:
                connection.execute(insert(quotas).values(**vars(quota)))
            app = AppName(quota.name) if quota.kind is QuotaKind.APP else None
            note(connection, "quotas set", f"{quota.label}: {_said(quota)}", app)

    def quotas(self) -> tuple[Quota, ...]:
        with self._database.reading() as connection:
            found = [_quota(row) for row in connection.execute(select(quotas))]
        return tuple(sorted(found, key=lambda quota: (quota.kind, quota.name)))

    def quotas_of(self, app: AppName) -> tuple[tuple[Quota, tuple[AppName, ...]], ...]:
        with self._database.reading() as connection:
            owner = connection.execute(select(apps.c.owner).where(apps.c.name == app)).scalar()
            if owner is None:
                raise no_app(app)
            rows = connection.execute(select(quotas).order_by(quotas.c.kind, quotas.c.name)).all()
            found = [(_quota(row), _under(connection, row)) for row in rows]
        return tuple((quota, under) for quota, under in found if app in under)


def within_builds(time: datetime | BindParameter[datetime]) -> ColumnElement[bool]:
    """Of a job's row: it is no push, or no quota of builds is reached."""
    return (jobs.c.kind != Push.kind) | ~_reached(time)


def reached_by(connection: Connection, job: int, time: datetime) -> str:
    """The quota for which a job waits, in words; empty where there is none."""
    found = connection.execute(_REACHED, {"job": job, "time": time}).first()
    if found is None:
        return ""
    number = f"{found.builds} build{'' if found.builds == 1 else 's'} at once"
    return f"the quota of {found.kind} {found.name} is {number}"


def _reached(time: datetime | BindParameter[datetime]) -> ColumnElement[bool]:
    return exists(select(quotas.c.name).where(_full(time)).correlate(jobs))


def _full(time: datetime | BindParameter[datetime]) -> ColumnElement[bool]:
    """Of a quota's row and a job's: it holds for the job, and as many as it allows are worked on."""
    busy, colleague = jobs.alias("building"), members.alias("colleague")
    working = (
        select(func.count())
        .select_from(busy)
        .where(busy.c.kind == Push.kind, busy.c.ended_at.is_(None), busy.c.lease_until > time)
    )
    of_app = working.where(busy.c.app == quotas.c.name).correlate(quotas).scalar_subquery()
    of_user = working.where(busy.c.user == quotas.c.name).correlate(quotas).scalar_subquery()
    inside = select(colleague.c.user).where(colleague.c.team == quotas.c.name).correlate(quotas)
    of_team = working.where(busy.c.user.in_(inside)).correlate(quotas).scalar_subquery()
    of_it = select(members.c.user).where(members.c.team == quotas.c.name, members.c.user == jobs.c.user)
    member = exists(of_it.correlate(quotas, jobs))
    return (
        ((quotas.c.kind == QuotaKind.APP) & (quotas.c.name == jobs.c.app) & (of_app >= quotas.c.builds))
        | ((quotas.c.kind == QuotaKind.USER) & (quotas.c.name == jobs.c.user) & (of_user >= quotas.c.builds))
        | ((quotas.c.kind == QuotaKind.TEAM) & member & (of_team >= quotas.c.builds))
    )


_TIME: BindParameter[datetime] = bindparam("time", type_=Instant())
# made once: it takes longer to put together than to answer, and whoever waits asks again and again
_REACHED = (
    select(quotas)
    .join(jobs, jobs.c.id == bindparam("job"))
    .where(jobs.c.kind == Push.kind, _full(_TIME))
    .order_by(quotas.c.kind, quotas.c.name)
    .limit(1)
)


def _under(connection: Connection, row: Row[Any]) -> tuple[AppName, ...]:
    """All apps that a quota holds for."""
    if row.kind == QuotaKind.APP:
        return (AppName(row.name),)
    owners = select(members.c.user).where(members.c.team == row.name)
    which = apps.c.owner == row.name if row.kind == QuotaKind.USER else apps.c.owner.in_(owners)
    return tuple(
        sorted(AppName(app) for app in connection.execute(select(apps.c.name).where(which)).scalars())
    )


def _require(connection: Connection, quota: Quota) -> None:
    table = {QuotaKind.APP: apps, QuotaKind.USER: users, QuotaKind.TEAM: teams}[quota.kind]
    if not connection.execute(select(table.c.name).where(table.c.name == quota.name)).first():
        raise _nobody(quota)


def _nobody(quota: Quota) -> NotFoundError:
    if quota.kind is QuotaKind.APP:
        return no_app(AppName(quota.name))
    name = UserName(quota.name)
    return no_user(name) if quota.kind is QuotaKind.USER else no_team(name)


def _said(quota: Quota) -> str:
    memory = None if quota.memory is None else shown_bytes(quota.memory)
    parts = (("builds", quota.builds), ("memory", memory), ("replicas", quota.replicas))
    return ", ".join(f"{name} {value}" for name, value in parts if value is not None) or "none"


def _quota(row: Row[Any]) -> Quota:
    return Quota(QuotaKind(row.kind), row.name, row.builds, row.memory, row.replicas)
