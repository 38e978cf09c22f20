"""What the source of a release declares; review apps, and what is set for them."""

import sqlalchemy as sa
from alembic import op

from gitreceive.engines.sql_ledger.schema import Instant

revision = "0009"
down_revision = "0008"
branch_labels = None
depends_on = None


def upgrade() -> None:
    op.add_column("releases", sa.Column("declared", sa.JSON, nullable=False, server_default="{}"))
    op.add_column("apps", sa.Column("reviews", sa.JSON, nullable=False, server_default="{}"))
    op.add_column("apps", sa.Column("review_of", sa.String(40), nullable=True))
    op.add_column("apps", sa.Column("review_branch", sa.Text, nullable=True))
    op.add_column("apps", sa.Column("review_until", Instant, nullable=True))
