"""What people set for an app, and what of it each release had. No release had a scale of its own: nobody could set one."""

import sqlalchemy as sa
from alembic import op

revision = "0005"
down_revision = "0004"
branch_labels = None
depends_on = None


def upgrade() -> None:
    op.add_column("apps", sa.Column("settings", sa.JSON, nullable=False, server_default="{}"))
    op.add_column("releases", sa.Column("settings", sa.JSON, nullable=False, server_default="{}"))
    op.drop_column("releases", "scale")
