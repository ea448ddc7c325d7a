"""Reasons, notes and edits of votes, and files that were made of votes."""

import sqlalchemy as sa
from alembic import op
from sqlalchemy.dialects.postgresql import JSONB

revision = "0016"
down_revision = "0015"
branch_labels = None
depends_on = None

OF_VOTES = ("reason", "note", "voted_by")


def upgrade() -> None:
    for name in OF_VOTES:
        op.add_column("comparisons", sa.Column(name, sa.Text(), nullable=True))
    op.add_column("comparisons", sa.Column("edit", JSONB(), nullable=True))
    op.add_column("files", sa.Column("made_from", JSONB(), nullable=True))
    op.create_index(
        "ix_comparisons_voted", "comparisons", ["org_id", "created_at"],
        postgresql_where=sa.text("choice IS NOT NULL"),
    )  # fmt: skip


def downgrade() -> None:
    op.drop_index("ix_comparisons_voted", table_name="comparisons")
    op.drop_column("files", "made_from")
    for name in (*OF_VOTES, "edit"):
        op.drop_column("comparisons", name)
