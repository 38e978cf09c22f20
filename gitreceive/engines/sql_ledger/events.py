"""What happened. Rows are only ever added: triggers of the database refuse all else."""

from collections.abc import Collection
from datetime import timedelta
from typing import Any

from sqlalchemy import Connection, Row, bindparam, func, insert, select

from gitreceive import acting
from gitreceive.engines.sql_ledger.database import now
from gitreceive.engines.sql_ledger.documents import storable
from gitreceive.engines.sql_ledger.part import Part
from gitreceive.engines.sql_ledger.schema import events
from gitreceive.model import AppName, Event, EventQuery, Happening, Outcome, UserName

_LONGEST = 1000  # characters of a text
# made once, as it is asked twice a second
_NEWEST = select(func.max(events.c.id)).where(
    events.c.id > bindparam("after"), events.c.verb.not_in(bindparam("but", expanding=True))
)


class Events(Part):
    """The port ``EventLedger``."""

    def record(self, happening: Happening, *, quiet_seconds: float = 0) -> None:
        with self._database.writing() as connection:
            put(connection, happening, quiet_seconds)

    def events(self, query: EventQuery) -> tuple[Event, ...]:
        found = select(events).order_by(events.c.id.desc()).limit(query.limit)
        if query.app is not None:
            found = found.where(events.c.app == query.app)
        if query.user is not None:
            found = found.where(events.c.user == query.user)
        with self._database.reading() as connection:
            if query.since_seconds is not None:
                begin = now(connection) - timedelta(seconds=query.since_seconds)
                found = found.where(events.c.at >= begin)
            return tuple(_event(row) for row in connection.execute(found))

    def newest_event(self, after: int = 0, but: Collection[str] = ()) -> int:
        with self._database.reading() as connection:
            return connection.execute(_NEWEST, {"after": after, "but": list(but)}).scalar() or after


def put(connection: Connection, happening: Happening, quiet_seconds: float = 0) -> None:
    """As the port's ``record``."""
    if not quiet_seconds or not _just_recorded(connection, happening, quiet_seconds):
        _insert(connection, happening)


def note(connection: Connection, verb: str, what: str, app: AppName | None = None) -> None:
    """With the change that is made in this transaction: whoever acts has done it. ``verb`` where they have not said what they do."""
    act = acting.current()
    actor = act.actor
    _insert(
        connection,
        Happening(actor.user, actor.via, actor.address, act.verb or verb, app, what),
    )
    act.recorded = True


def note_of_server(
    connection: Connection, user: UserName, verb: str, app: AppName, what: str, outcome: Outcome, reason: str
) -> None:
    """How something ended that ``user`` asked for, which the server has done since."""
    _insert(connection, Happening(user, acting.SERVER.user, "", verb, app, what, outcome, reason))


def _insert(connection: Connection, happening: Happening) -> None:
    connection.execute(
        insert(events).values(at=now(connection), outcome=happening.outcome, **_columns(happening))
    )


def _just_recorded(connection: Connection, happening: Happening, seconds: float) -> bool:
    begin = now(connection) - timedelta(seconds=seconds)
    same = [events.c[name] == value for name, value in _columns(happening).items()]
    query = select(events.c.id).where(*same, events.c.outcome == happening.outcome, events.c.at >= begin)
    return connection.execute(query.limit(1)).first() is not None


def _columns(happening: Happening) -> dict[str, Any]:
    texts = {name: getattr(happening, name) for name in ("via", "address", "what", "reason")}
    kept = {name: storable(text)[:_LONGEST] for name, text in texts.items()}
    return {"user": happening.user, "verb": happening.verb[:60], "app": happening.app, **kept}


def _event(row: Row[Any]) -> Event:
    return Event(
        row.id,
        row.at,
        Happening(
            user=UserName(row.user),
            via=row.via,
            address=row.address,
            verb=row.verb,
            app=AppName(row.app) if row.app else None,
            what=row.what,
            outcome=Outcome(row.outcome),
            reason=row.reason,
        ),
    )
