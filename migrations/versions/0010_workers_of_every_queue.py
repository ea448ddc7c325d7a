"""Which queues a worker serves: workers of every queue register, not only train workers."""

import sqlalchemy as sa
from alembic import op
from sqlalchemy.dialects import postgresql

revision = "0010"
down_revision = "0009"
branch_labels = None
depends_on = None


def upgrade() -> None:
    op.add_column(
        "workers",
        sa.Column(
            "queues",
            postgresql.JSONB(astext_type=sa.Text()),
            nullable=False,
            server_default=sa.text("'[\"train\"]'"),
        ),
    )


def downgrade() -> None:
    op.execute("""DELETE FROM workers WHERE NOT queues @> '["train"]'""")
    op.drop_column("workers", "queues")
