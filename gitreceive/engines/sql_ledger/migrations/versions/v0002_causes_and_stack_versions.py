"""Jobs that are no push; every version of a stack, with its recipe."""

import sqlalchemy as sa
from alembic import op

from gitreceive.engines.sql_ledger.schema import Instant

revision = "0002"
down_revision = "0001"
branch_labels = None
depends_on = None


def upgrade() -> None:
    # a column that is added, and not a table made anew: SQLite would forget which ids were used, and drop the releases
    op.add_column("jobs", sa.Column("kind", sa.String(20), nullable=False, server_default="push"))
    op.rename_table("stacks", "stacks_0001")
    op.create_table(
        "stacks",
        sa.Column("name", sa.String(128), nullable=False),
        sa.Column("version", sa.Integer, nullable=False),
        sa.Column("build", sa.Text, nullable=False),
        sa.Column("run", sa.Text, nullable=False),
        sa.Column("build_bytes", sa.BigInteger, nullable=False),
        sa.Column("run_bytes", sa.BigInteger, nullable=False),
        sa.Column("packages", sa.JSON, nullable=False),
        sa.Column("recipe", sa.JSON),
        sa.Column("created_at", Instant, nullable=False),
        sa.PrimaryKeyConstraint("name", "version", name="pk_stacks_versions"),
    )
    op.execute(
        "INSERT INTO stacks (name, version, build, run, build_bytes, run_bytes, packages, created_at) "
        "SELECT name, 1, build, run, build_bytes, run_bytes, packages, created_at FROM stacks_0001"
    )
    op.drop_table("stacks_0001")
