"""Config that waits for an app's first release."""

import sqlalchemy as sa
from alembic import op

revision = "0004"
down_revision = "0003"
branch_labels = None
depends_on = None


def upgrade() -> None:
    op.add_column("apps", sa.Column("config", sa.JSON, nullable=False, server_default="{}"))
