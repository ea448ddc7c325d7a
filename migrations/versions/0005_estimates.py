"""Estimates: jobs that measure what a run would take, and then end."""

import sqlalchemy as sa
from alembic import op
from sqlalchemy.dialects import postgresql

revision = "0005"
down_revision = "0004"
branch_labels = None
depends_on = None


def upgrade() -> None:
    # The default lets an API of the release before this one create jobs.
    op.add_column(
        "jobs", sa.Column("purpose", sa.Text(), nullable=False, server_default=sa.text("'train'"))
    )
    op.add_column(
        "jobs", sa.Column("estimate", postgresql.JSONB(astext_type=sa.Text()), nullable=True)
    )


def downgrade() -> None:
    op.drop_column("jobs", "estimate")
    op.drop_column("jobs", "purpose")
