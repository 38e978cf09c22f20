"""Who locked an app, why, and since when."""

import sqlalchemy as sa
from alembic import op

from gitreceive.engines.sql_ledger.schema import Instant

revision = "0011"
down_revision = "0010"
branch_labels = None
depends_on = None


def upgrade() -> None:
    op.add_column("apps", sa.Column("locked_by", sa.String(39)))
    op.add_column("apps", sa.Column("locked_because", sa.Text))
    op.add_column("apps", sa.Column("locked_at", Instant))
