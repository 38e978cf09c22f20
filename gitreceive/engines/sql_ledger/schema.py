"""The tables, as the newest migration leaves them."""

import json
from datetime import UTC, datetime
from typing import Any

from sqlalchemy import (
    JSON,
    BigInteger,
    Boolean,
    Column,
    DateTime,
    Dialect,
    ForeignKey,
    Index,
    Integer,
    MetaData,
    String,
    Table,
    Text,
    UniqueConstraint,
    false,
)
from sqlalchemy.ext.compiler import compiles
from sqlalchemy.sql.functions import GenericFunction
from sqlalchemy.types import TypeDecorator, TypeEngine

from gitreceive.engines.sql_ledger.keyring import Keyring

REVISION = "0013"  # the newest migration


class Instant(TypeDecorator[datetime]):
    """A point in time, timezone-aware and in UTC. In SQLite it is ISO 8601 text of one width, so that it sorts."""

    impl = String(32)
    cache_ok = True

    def load_dialect_impl(self, dialect: Dialect) -> TypeEngine[Any]:
        return dialect.type_descriptor(String(32) if dialect.name == "sqlite" else DateTime(timezone=True))

    def process_bind_param(self, value: datetime | None, dialect: Dialect) -> Any:
        if value is None or dialect.name != "sqlite":
            return value
        return value.astimezone(UTC).isoformat(timespec="microseconds")

    def process_result_value(self, value: Any, dialect: Dialect) -> datetime | None:
        if value is None:
            return None
        time: datetime = datetime.fromisoformat(value) if dialect.name == "sqlite" else value
        if time.tzinfo is None:  # as when a job was begun was once written
            time = time.replace(tzinfo=UTC)
        return time.astimezone(UTC)


class database_time(GenericFunction[datetime]):  # noqa: N801 - named as SQL functions are
    """The clock of the database, and not the one of the transaction's beginning."""

    inherit_cache = True


@compiles(database_time, "sqlite")
def _sqlite_time(_element: object, _compiler: object, **_: object) -> str:
    return "strftime('%Y-%m-%dT%H:%M:%f+00:00', 'now')"


@compiles(database_time, "postgresql")
def _postgresql_time(_element: object, _compiler: object, **_: object) -> str:
    return "clock_timestamp()"


class Sealed(TypeDecorator[Any]):
    """A JSON value that the database never has in the clear. What was written before there were keys is an object, and read as it is."""

    impl = JSON
    cache_ok = True

    def process_bind_param(self, value: Any, dialect: Dialect) -> Any:
        return None if value is None else [keyring_of(dialect).seal(json.dumps(value).encode())]

    def process_result_value(self, value: Any, dialect: Dialect) -> Any:
        return json.loads(keyring_of(dialect).open(value[0])) if isinstance(value, list) else value


def keyring_of(dialect: Dialect) -> Keyring:
    """The keys of the database that the dialect belongs to; ``Database`` puts them there."""
    found: Keyring = dialect.gitreceive_keyring  # type: ignore[attr-defined]
    return found


metadata = MetaData(
    naming_convention={
        "pk": "pk_%(table_name)s",
        "fk": "fk_%(table_name)s_%(column_0_name)s",
        "uq": "uq_%(table_name)s_%(column_0_N_name)s",
        "ix": "ix_%(table_name)s_%(column_0_N_name)s",
    }
)

users = Table(
    "users",
    metadata,
    Column("name", String(39), primary_key=True),
    Column("admin", Boolean, nullable=False),
    Column("suspended", Boolean, nullable=False, server_default=false()),
)

keys = Table(
    "keys",
    metadata,
    Column("id", Integer, primary_key=True),
    Column("user", ForeignKey("users.name", ondelete="CASCADE"), nullable=False, index=True),
    Column("algorithm", String(64), nullable=False),
    Column("blob", Text, nullable=False),
    Column("comment", Text, nullable=False),
    Column("fingerprint", String(64), nullable=False, unique=True),
    Column("added_at", Instant, nullable=False),
)

tokens = Table(
    "tokens",
    metadata,
    Column("id", String(10), primary_key=True),
    Column("user", ForeignKey("users.name", ondelete="CASCADE"), nullable=False, index=True),
    Column("name", Text, nullable=False),
    Column("hash", String(64), nullable=False),
    Column("scopes", JSON, nullable=False),
    Column("apps", JSON(none_as_null=True)),  # none: all that the user has
    Column("created_by", String(39), nullable=False),
    Column("created_at", Instant, nullable=False),
    Column("expires_at", Instant, nullable=False),
    Column("last_used_at", Instant),
)

teams = Table(
    "teams",
    metadata,
    Column("name", String(39), primary_key=True),
    Column("created_at", Instant, nullable=False),
)

members = Table(
    "members",
    metadata,
    Column("team", ForeignKey("teams.name", ondelete="CASCADE"), primary_key=True),
    Column("user", ForeignKey("users.name", ondelete="CASCADE"), primary_key=True, index=True),
)

apps = Table(
    "apps",
    metadata,
    Column("name", String(40), primary_key=True),
    Column("owner", String(39), nullable=False),
    Column("branch", Text, nullable=False),
    Column("created_at", Instant, nullable=False),
    Column("buildpacks", JSON, nullable=False, server_default="[]"),
    Column("config", Sealed, nullable=False, server_default="{}"),  # waits for the first release
    Column("settings", JSON, nullable=False, server_default="{}"),
    Column("held_by", Text),  # while what is not kept of it goes: its jobs wait
    Column("held_until", Instant),
    Column("reviews", JSON, nullable=False, server_default="{}"),
    Column("review_of", String(40)),  # this and the two below: none where it is no review app
    Column("review_branch", Text),
    Column("review_until", Instant),
    Column("locked_by", String(39)),  # none, like the two below: it is not locked
    Column("locked_because", Text),
    Column("locked_at", Instant),
)

domains = Table(
    "domains",
    metadata,
    Column("host", String(255), primary_key=True),
    Column("app", ForeignKey("apps.name", ondelete="CASCADE"), nullable=False, index=True),
)

certificates = Table(
    "certificates",
    metadata,
    Column("app", ForeignKey("apps.name", ondelete="CASCADE"), primary_key=True),
    Column("fingerprint", String(64), primary_key=True),
    Column("facts", JSON, nullable=False),
    Column("chain", Text, nullable=False),
    Column("key", Sealed, nullable=False),
)

# who was given what, one row each: by their own name, or by that of their team
access_of_users = Table(
    "access_of_users",
    metadata,
    Column("app", ForeignKey("apps.name", ondelete="CASCADE"), primary_key=True),
    Column("user", ForeignKey("users.name", ondelete="CASCADE"), primary_key=True, index=True),
    Column("role", String(20), nullable=False),
)

access_of_teams = Table(
    "access_of_teams",
    metadata,
    Column("app", ForeignKey("apps.name", ondelete="CASCADE"), primary_key=True),
    Column("team", ForeignKey("teams.name", ondelete="CASCADE"), primary_key=True, index=True),
    Column("role", String(20), nullable=False),
)

quotas = Table(
    "quotas",
    metadata,
    Column("kind", String(10), primary_key=True),  # of what: app, user, team
    Column("name", String(40), primary_key=True),
    Column("builds", Integer),  # this and the two below: none is no quota
    Column("memory", BigInteger),
    Column("replicas", Integer),
)

# nothing here refers to another table: what happened outlives whom and what it happened to. Triggers keep it as it is
events = Table(
    "events",
    metadata,
    Column("id", Integer, primary_key=True),
    Column("at", Instant, nullable=False),
    Column("user", String(39), nullable=False),
    Column("via", Text, nullable=False),
    Column("address", Text, nullable=False),
    Column("verb", String(60), nullable=False),
    Column("app", String(40)),
    Column("what", Text, nullable=False),
    Column("outcome", String(20), nullable=False),
    Column("reason", Text, nullable=False),
    Index("ix_events_app_id", "app", "id"),
    Index("ix_events_user_id", "user", "id"),
    sqlite_autoincrement=True,
)

jobs = Table(
    "jobs",
    metadata,
    Column("id", Integer, primary_key=True),
    Column("app", ForeignKey("apps.name", ondelete="CASCADE"), nullable=False),
    Column("user", String(39), nullable=False),
    Column("kind", String(20), nullable=False, server_default="push"),
    Column("ref", Text, nullable=False),  # this and the two below: empty where it is no push
    Column("old", String(40), nullable=False),
    Column("new", String(40), nullable=False),
    Column("options", JSON, nullable=False),  # what else was asked for, by kind
    Column("secrets", Sealed, nullable=False, server_default="{}"),  # what of it nobody may see
    Column("state", String(20), nullable=False),
    Column("created_at", Instant, nullable=False),
    Column("started_at", Instant),
    Column("ended_at", Instant),
    Column("fence", Integer, nullable=False),
    Column("holder", Text),
    Column("lease_until", Instant),
    Column("cancel_requested_by", Text),
    Column("image", JSON(none_as_null=True)),
    Column("reason", Text, nullable=False),
    Column("seconds", JSON, nullable=False),
    Index("ix_jobs_app_id", "app", "id"),
    Index("ix_jobs_ended_at_app", "ended_at", "app"),  # the few that have not ended, among all that ever were
    sqlite_autoincrement=True,  # an id is never used again: logs and kept commits are named by it
)

releases = Table(
    "releases",
    metadata,
    Column("id", Integer, primary_key=True),
    Column("app", ForeignKey("apps.name", ondelete="CASCADE"), nullable=False),
    Column("number", Integer, nullable=False),
    Column("job", ForeignKey("jobs.id", ondelete="CASCADE"), nullable=False, unique=True),
    Column("image", JSON, nullable=False),
    Column("commit", String(40), nullable=False),
    Column("config", Sealed, nullable=False),
    Column("settings", JSON, nullable=False),
    Column("declared", JSON, nullable=False, server_default="{}"),
    Column("user", String(39), nullable=False),
    Column("description", Text, nullable=False),
    Column("created_at", Instant, nullable=False),
    Column("live_at", Instant),  # none: intended, and its number is given again should its job fail
    Column("collected_at", Instant),  # none: it is kept, and so are its image and its config
    UniqueConstraint("app", "number"),
)

stacks = Table(
    "stacks",
    metadata,
    Column("name", String(128), primary_key=True),
    Column("version", Integer, primary_key=True, autoincrement=False),
    Column("build", Text, nullable=False),
    Column("run", Text, nullable=False),
    Column("build_bytes", BigInteger, nullable=False),
    Column("run_bytes", BigInteger, nullable=False),
    Column("packages", JSON, nullable=False),
    Column("recipe", JSON(none_as_null=True)),
    Column("created_at", Instant, nullable=False),
)

drains = Table(
    "drains",
    metadata,
    Column("id", Integer, primary_key=True),
    Column("app", ForeignKey("apps.name", ondelete="CASCADE"), nullable=False, index=True),
    Column("user", String(39), nullable=False),
    Column("url", Sealed, nullable=False),
    Column("headers", Sealed, nullable=False),
    Column("created_at", Instant, nullable=False),
    sqlite_autoincrement=True,  # an id is never used again: what waits on the disk is named by it
)
