"""The first tables: users, keys, apps, jobs, releases, stacks."""

import sqlalchemy as sa
from alembic import op

from gitreceive.engines.sql_ledger.schema import Instant

revision = "0001"
down_revision = None
branch_labels = None
depends_on = None


def upgrade() -> None:
    op.create_table(
        "users",
        sa.Column("name", sa.String(39), nullable=False),
        sa.Column("admin", sa.Boolean, nullable=False),
        sa.PrimaryKeyConstraint("name", name="pk_users"),
    )
    op.create_table(
        "keys",
        sa.Column("id", sa.Integer, nullable=False),
        sa.Column("user", sa.String(39), nullable=False),
        sa.Column("algorithm", sa.String(64), nullable=False),
        sa.Column("blob", sa.Text, nullable=False),
        sa.Column("comment", sa.Text, nullable=False),
        sa.Column("fingerprint", sa.String(64), nullable=False),
        sa.Column("added_at", Instant, nullable=False),
        sa.PrimaryKeyConstraint("id", name="pk_keys"),
        sa.ForeignKeyConstraint(["user"], ["users.name"], name="fk_keys_user", ondelete="CASCADE"),
        sa.UniqueConstraint("fingerprint", name="uq_keys_fingerprint"),
    )
    op.create_index("ix_keys_user", "keys", ["user"])
    op.create_table(
        "apps",
        sa.Column("name", sa.String(40), nullable=False),
        sa.Column("owner", sa.String(39), nullable=False),
        sa.Column("branch", sa.Text, nullable=False),
        sa.Column("created_at", Instant, nullable=False),
        sa.PrimaryKeyConstraint("name", name="pk_apps"),
    )
    _create_jobs()
    _create_releases()
    op.create_table(
        "stacks",
        sa.Column("name", sa.String(128), nullable=False),
        sa.Column("build", sa.Text, nullable=False),
        sa.Column("run", sa.Text, nullable=False),
        sa.Column("build_bytes", sa.BigInteger, nullable=False),
        sa.Column("run_bytes", sa.BigInteger, nullable=False),
        sa.Column("packages", sa.JSON, nullable=False),
        sa.Column("created_at", Instant, nullable=False),
        sa.PrimaryKeyConstraint("name", name="pk_stacks"),
    )


def _create_jobs() -> None:
    op.create_table(
        "jobs",
        sa.Column("id", sa.Integer, nullable=False),
        sa.Column("app", sa.String(40), nullable=False),
        sa.Column("user", sa.String(39), nullable=False),
        sa.Column("ref", sa.Text, nullable=False),
        sa.Column("old", sa.String(40), nullable=False),
        sa.Column("new", sa.String(40), nullable=False),
        sa.Column("options", sa.JSON, nullable=False),
        sa.Column("state", sa.String(20), nullable=False),
        sa.Column("created_at", Instant, nullable=False),
        sa.Column("started_at", Instant),
        sa.Column("ended_at", Instant),
        sa.Column("fence", sa.Integer, nullable=False),
        sa.Column("holder", sa.Text),
        sa.Column("lease_until", Instant),
        sa.Column("cancel_requested_by", sa.Text),
        sa.Column("image", sa.JSON),
        sa.Column("reason", sa.Text, nullable=False),
        sa.Column("seconds", sa.JSON, nullable=False),
        sa.PrimaryKeyConstraint("id", name="pk_jobs"),
        sa.ForeignKeyConstraint(["app"], ["apps.name"], name="fk_jobs_app", ondelete="CASCADE"),
        sqlite_autoincrement=True,
    )
    op.create_index("ix_jobs_app_id", "jobs", ["app", "id"])
    op.create_index("ix_jobs_ended_at_app", "jobs", ["ended_at", "app"])


def _create_releases() -> None:
    op.create_table(
        "releases",
        sa.Column("id", sa.Integer, nullable=False),
        sa.Column("app", sa.String(40), nullable=False),
        sa.Column("number", sa.Integer, nullable=False),
        sa.Column("job", sa.Integer, nullable=False),
        sa.Column("image", sa.JSON, nullable=False),
        sa.Column("commit", sa.String(40), nullable=False),
        sa.Column("config", sa.JSON, nullable=False),
        sa.Column("scale", sa.JSON, nullable=False),
        sa.Column("user", sa.String(39), nullable=False),
        sa.Column("description", sa.Text, nullable=False),
        sa.Column("created_at", Instant, nullable=False),
        sa.Column("live_at", Instant),
        sa.PrimaryKeyConstraint("id", name="pk_releases"),
        sa.ForeignKeyConstraint(["app"], ["apps.name"], name="fk_releases_app", ondelete="CASCADE"),
        sa.ForeignKeyConstraint(["job"], ["jobs.id"], name="fk_releases_job", ondelete="CASCADE"),
        sa.UniqueConstraint("job", name="uq_releases_job"),
        sa.UniqueConstraint("app", "number", name="uq_releases_app_number"),
    )
