"""Where apps' logs are sent."""

import sqlalchemy as sa
from alembic import op

from gitreceive.engines.sql_ledger.schema import Instant

revision = "0008"
down_revision = "0006"
branch_labels = None
depends_on = None


def upgrade() -> None:
    op.create_table(
        "drains",
        sa.Column("id", sa.Integer, primary_key=True),
        sa.Column(
            "app",
            sa.String(40),
            sa.ForeignKey("apps.name", name="fk_drains_app_apps", ondelete="CASCADE"),
            nullable=False,
        ),
        sa.Column("user", sa.String(39), nullable=False),
        sa.Column("url", sa.JSON, nullable=False),
        sa.Column("headers", sa.JSON, nullable=False),
        sa.Column("created_at", Instant, nullable=False),
        sqlite_autoincrement=True,
    )
    op.create_index("ix_drains_app", "drains", ["app"])
