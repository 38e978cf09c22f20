"""The buildpacks that were set for an app."""

import sqlalchemy as sa
from alembic import op

revision = "0003"
down_revision = "0002"
branch_labels = None
depends_on = None


def upgrade() -> None:
    op.add_column("apps", sa.Column("buildpacks", sa.JSON, nullable=False, server_default="[]"))
