"""Which app has which host, and the certificates that people brought, with their keys."""

import sqlalchemy as sa
from alembic import op

revision = "0012"
down_revision = "0011"
branch_labels = None
depends_on = None


def upgrade() -> None:
    op.create_table(
        "domains",
        sa.Column("host", sa.String(255), nullable=False),
        sa.Column("app", sa.String(40), nullable=False),
        sa.ForeignKeyConstraint(["app"], ["apps.name"], name="fk_domains_app", ondelete="CASCADE"),
        sa.PrimaryKeyConstraint("host", name="pk_domains"),
    )
    op.create_index("ix_domains_app", "domains", ["app"])
    op.create_table(
        "certificates",
        sa.Column("app", sa.String(40), nullable=False),
        sa.Column("fingerprint", sa.String(64), nullable=False),
        sa.Column("facts", sa.JSON, nullable=False),
        sa.Column("chain", sa.Text, nullable=False),
        sa.Column("key", sa.JSON, nullable=False),
        sa.ForeignKeyConstraint(["app"], ["apps.name"], name="fk_certificates_app", ondelete="CASCADE"),
        sa.PrimaryKeyConstraint("app", "fingerprint", name="pk_certificates"),
    )
