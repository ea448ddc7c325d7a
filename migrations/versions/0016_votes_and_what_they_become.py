"""Reasons, notes and edits of votes, blind votes on the answers of evaluations, and files that were
made of votes.
"""

import sqlalchemy as sa
from alembic import op
from sqlalchemy.dialects.postgresql import JSONB

revision = "0016"
down_revision = "0015"
branch_labels = None
depends_on = None

COLUMNS = {
    "reason": sa.Text(), "note": sa.Text(), "voted_by": sa.Text(), "edit": JSONB(),
    "evaluation_id": sa.Text(), "place": sa.BigInteger(), "pair": sa.BigInteger(),
    "revealed_at": sa.DateTime(timezone=True),
}  # fmt: skip


def upgrade() -> None:
    for name, kind in COLUMNS.items():
        op.add_column("comparisons", sa.Column(name, kind, nullable=True))
    op.add_column("files", sa.Column("made_from", JSONB(), nullable=True))
    op.create_index(
        "ix_comparisons_voted", "comparisons", ["org_id", "created_at"],
        postgresql_where=sa.text("choice IS NOT NULL"),
    )  # fmt: skip

    op.create_index(
        "uq_comparisons_card", "comparisons", ["evaluation_id", "api_key_id", "place", "pair"],
        unique=True, postgresql_where=sa.text("evaluation_id IS NOT NULL"),
    )  # fmt: skip


def downgrade() -> None:
    op.drop_index("uq_comparisons_card", table_name="comparisons")
    op.drop_index("ix_comparisons_voted", table_name="comparisons")
    op.drop_column("files", "made_from")
    for name in COLUMNS:
        op.drop_column("comparisons", name)
