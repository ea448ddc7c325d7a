"""Versions of the run spec, of jobs and workers; and which run folder is the database's."""

import sqlalchemy as sa
from alembic import op

revision = "0007"
down_revision = "0006"
branch_labels = None
depends_on = None


def upgrade() -> None:
    for table in ("jobs", "workers"):
        op.add_column(
            table,
            sa.Column("spec_version", sa.BigInteger(), nullable=False, server_default=sa.text("1")),
        )
    op.create_table(
        "run_folder",
        sa.Column("id", sa.BigInteger(), autoincrement=False, nullable=False),
        sa.Column("mark", sa.Text(), nullable=False),
        sa.PrimaryKeyConstraint("id", name=op.f("pk_run_folder")),
    )


def downgrade() -> None:
    op.drop_table("run_folder")
    for table in ("workers", "jobs"):
        op.drop_column(table, "spec_version")
