"""Names, tags and notes of runs, and runs that are archived."""

import sqlalchemy as sa
from alembic import op
from sqlalchemy.dialects.postgresql import JSONB

revision = "0018"
down_revision = "0017"
branch_labels = None
depends_on = None


def upgrade() -> None:
    op.add_column("jobs", sa.Column("name", sa.Text(), nullable=True))
    op.add_column(
        "jobs", sa.Column("tags", JSONB(), server_default=sa.text("'[]'"), nullable=False)
    )
    op.add_column("jobs", sa.Column("notes", sa.Text(), server_default="", nullable=False))
    op.add_column(
        "jobs", sa.Column("archived", sa.Boolean(), server_default=sa.text("false"), nullable=False)
    )


def downgrade() -> None:
    for name in ("archived", "notes", "tags", "name"):
        op.drop_column("jobs", name)
