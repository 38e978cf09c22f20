"""Releases that are no longer kept, and apps that are held while these go."""

import sqlalchemy as sa
from alembic import op

from gitreceive.engines.sql_ledger.schema import Instant

revision = "0010"
down_revision = "0009"
branch_labels = None
depends_on = None


def upgrade() -> None:
    op.add_column("apps", sa.Column("held_by", sa.Text))
    op.add_column("apps", sa.Column("held_until", Instant))
    op.add_column("releases", sa.Column("collected_at", Instant))
