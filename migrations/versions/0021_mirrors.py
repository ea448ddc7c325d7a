"""Mirrors of a job's numbers in trackers."""

import sqlalchemy as sa
from alembic import op
from sqlalchemy.dialects.postgresql import JSONB

revision = "0021"
down_revision = "0020"
branch_labels = None
depends_on = None


def upgrade() -> None:
    op.create_table(
        "mirrors",
        sa.Column("job_id", sa.Text(), nullable=False),
        sa.Column("place", sa.BigInteger(), autoincrement=False, nullable=False),
        sa.Column("type", sa.Text(), nullable=False),
        sa.Column("settings", JSONB(), nullable=False),
        sa.Column("status", sa.Text(), nullable=False),
        sa.Column("position", JSONB(), nullable=False),
        sa.Column("run_id", sa.Text(), nullable=True),
        sa.Column("next_at", sa.DateTime(timezone=True), nullable=True),
        sa.Column("failures", sa.BigInteger(), nullable=False),
        sa.Column("error", sa.Text(), nullable=True),
        sa.ForeignKeyConstraint(["job_id"], ["jobs.id"], name=op.f("fk_mirrors_job_id_jobs")),
        sa.PrimaryKeyConstraint("job_id", "place", name=op.f("pk_mirrors")),
    )
    op.create_index("ix_mirrors_next_at", "mirrors", ["next_at"])


def downgrade() -> None:
    op.drop_table("mirrors")
