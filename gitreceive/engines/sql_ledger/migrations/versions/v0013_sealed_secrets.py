"""A column for what a job was asked for that nobody may see. What was kept in the clear is sealed behind this, with the ledger's keys."""

import sqlalchemy as sa
from alembic import op

revision = "0013"
down_revision = "0012"
branch_labels = None
depends_on = None

_JOBS = sa.table(
    "jobs",
    sa.column("id", sa.Integer),
    sa.column("kind", sa.String),
    sa.column("options", sa.JSON),
    sa.column("secrets", sa.JSON),
)


def upgrade() -> None:
    op.add_column("jobs", sa.Column("secrets", sa.JSON, nullable=False, server_default="{}"))
    connection = op.get_bind()
    asked = sa.select(_JOBS.c.id, _JOBS.c.options).where(_JOBS.c.kind == "config")
    for row in connection.execute(asked).all():
        options = dict(row.options)
        secrets = options.pop("set")
        change = sa.update(_JOBS).where(_JOBS.c.id == row.id).values(options=options, secrets=secrets)
        connection.execute(change)
