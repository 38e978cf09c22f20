"""Tokens, teams, who was given what, quotas, and what happened, which nobody can alter."""

import sqlalchemy as sa
from alembic import op

from gitreceive.engines.sql_ledger.schema import Instant

revision = "0006"
down_revision = "0005"
branch_labels = None
depends_on = None

_SQLITE = (
    (
        "CREATE TRIGGER events_updated BEFORE UPDATE ON events "
        "BEGIN SELECT RAISE(ABORT, 'what happened stays as it was recorded'); END"
    ),
    (
        "CREATE TRIGGER events_deleted BEFORE DELETE ON events "
        "BEGIN SELECT RAISE(ABORT, 'what happened stays as it was recorded'); END"
    ),
    # INSERT OR REPLACE runs no trigger for the row that it takes away
    (
        "CREATE TRIGGER events_replaced BEFORE INSERT ON events WHEN EXISTS (SELECT 1 FROM events WHERE id = NEW.id) "
        "BEGIN SELECT RAISE(ABORT, 'what happened stays as it was recorded'); END"
    ),
)
_POSTGRESQL = (
    (
        "CREATE OR REPLACE FUNCTION events_unaltered() RETURNS trigger LANGUAGE plpgsql AS "
        "$$ BEGIN RAISE EXCEPTION 'what happened stays as it was recorded'; END $$"
    ),
    (
        "CREATE TRIGGER events_unaltered BEFORE UPDATE OR DELETE ON events "
        "FOR EACH ROW EXECUTE FUNCTION events_unaltered()"
    ),
    (
        "CREATE TRIGGER events_untruncated BEFORE TRUNCATE ON events "
        "FOR EACH STATEMENT EXECUTE FUNCTION events_unaltered()"
    ),
)


def upgrade() -> None:
    op.add_column("users", sa.Column("suspended", sa.Boolean, nullable=False, server_default=sa.false()))
    _tokens()
    _teams()
    _access()
    _events()


def _tokens() -> None:
    op.create_table(
        "tokens",
        sa.Column("id", sa.String(10), nullable=False),
        sa.Column("user", sa.String(39), nullable=False),
        sa.Column("name", sa.Text, nullable=False),
        sa.Column("hash", sa.String(64), nullable=False),
        sa.Column("scopes", sa.JSON, nullable=False),
        sa.Column("apps", sa.JSON),
        sa.Column("created_by", sa.String(39), nullable=False),
        sa.Column("created_at", Instant, nullable=False),
        sa.Column("expires_at", Instant, nullable=False),
        sa.Column("last_used_at", Instant),
        sa.PrimaryKeyConstraint("id", name="pk_tokens"),
        _belongs("tokens", "user", "users"),
    )
    op.create_index("ix_tokens_user", "tokens", ["user"])


def _teams() -> None:
    op.create_table(
        "teams",
        sa.Column("name", sa.String(39), nullable=False),
        sa.Column("created_at", Instant, nullable=False),
        sa.PrimaryKeyConstraint("name", name="pk_teams"),
    )
    _pair("members", ("team", "teams", 39), ("user", "users", 39))
    op.create_table(
        "quotas",
        sa.Column("kind", sa.String(10), nullable=False),
        sa.Column("name", sa.String(40), nullable=False),
        sa.Column("builds", sa.Integer),
        sa.Column("memory", sa.BigInteger),
        sa.Column("replicas", sa.Integer),
        sa.PrimaryKeyConstraint("kind", "name", name="pk_quotas"),
    )


def _access() -> None:
    role = ("role", 20)
    _pair("access_of_users", ("app", "apps", 40), ("user", "users", 39), role)
    _pair("access_of_teams", ("app", "apps", 40), ("team", "teams", 39), role)


def _events() -> None:
    op.create_table(
        "events",
        sa.Column("id", sa.Integer, nullable=False),
        sa.Column("at", Instant, nullable=False),
        sa.Column("user", sa.String(39), nullable=False),
        sa.Column("via", sa.Text, nullable=False),
        sa.Column("address", sa.Text, nullable=False),
        sa.Column("verb", sa.String(60), nullable=False),
        sa.Column("app", sa.String(40)),
        sa.Column("what", sa.Text, nullable=False),
        sa.Column("outcome", sa.String(20), nullable=False),
        sa.Column("reason", sa.Text, nullable=False),
        sa.PrimaryKeyConstraint("id", name="pk_events"),
        sqlite_autoincrement=True,
    )
    op.create_index("ix_events_app_id", "events", ["app", "id"])
    op.create_index("ix_events_user_id", "events", ["user", "id"])
    for line in _SQLITE if op.get_bind().dialect.name == "sqlite" else _POSTGRESQL:
        op.execute(line)


def _pair(table: str, one: tuple[str, str, int], other: tuple[str, str, int], *more: tuple[str, int]) -> None:
    op.create_table(
        table,
        *(sa.Column(name, sa.String(length), nullable=False) for name, _, length in (one, other)),
        *(sa.Column(name, sa.String(length), nullable=False) for name, length in more),
        sa.PrimaryKeyConstraint(one[0], other[0], name=f"pk_{table}"),
        _belongs(table, one[0], one[1]),
        _belongs(table, other[0], other[1]),
    )
    op.create_index(f"ix_{table}_{other[0]}", table, [other[0]])


def _belongs(table: str, column: str, to: str) -> sa.ForeignKeyConstraint:
    return sa.ForeignKeyConstraint(
        [column], [f"{to}.name"], name=f"fk_{table}_{column}_{to}", ondelete="CASCADE"
    )
