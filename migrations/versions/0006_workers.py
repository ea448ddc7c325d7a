"""Workers with their devices, where a job runs, and deployments that make room for jobs."""

import sqlalchemy as sa
from alembic import op
from sqlalchemy.dialects import postgresql

revision = "0006"
down_revision = "0005"
branch_labels = None
depends_on = None

JSONB = postgresql.JSONB(astext_type=sa.Text())


def upgrade() -> None:
    op.create_table(
        "workers",
        sa.Column("id", sa.Text(), nullable=False),
        sa.Column("host", sa.Text(), nullable=False),
        sa.Column("cores", sa.BigInteger(), nullable=False),
        sa.Column("devices", JSONB, nullable=False),
        sa.Column("seen_at", sa.DateTime(timezone=True), nullable=False),
        sa.PrimaryKeyConstraint("id", name=op.f("pk_workers")),
    )
    op.add_column(
        "jobs", sa.Column("placement", JSONB, nullable=False, server_default=sa.text("'[]'"))
    )
    op.add_column(
        "deployments",
        sa.Column("yields", sa.Boolean(), nullable=False, server_default=sa.text("false")),
    )


def downgrade() -> None:
    op.drop_column("deployments", "yields")
    op.drop_column("jobs", "placement")
    op.drop_table("workers")
