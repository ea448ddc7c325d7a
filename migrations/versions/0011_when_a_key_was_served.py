"""When a job of a key was claimed last: known after the job and its row are deleted, too."""

import sqlalchemy as sa
from alembic import op

revision = "0011"
down_revision = "0010"
branch_labels = None
depends_on = None


def upgrade() -> None:
    op.add_column("api_keys", sa.Column("served_at", sa.DateTime(timezone=True), nullable=True))
    op.execute(
        "UPDATE api_keys SET served_at = "
        "(SELECT max(started_at) FROM jobs WHERE jobs.api_key_id = api_keys.id)"
    )


def downgrade() -> None:
    op.drop_column("api_keys", "served_at")
