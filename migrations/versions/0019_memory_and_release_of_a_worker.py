"""The memory and the release of a worker, for the page that shows the system."""

import sqlalchemy as sa
from alembic import op

revision = "0019"
down_revision = "0018"
branch_labels = None
depends_on = None

COLUMNS = {"memory_bytes": sa.BigInteger(), "release": sa.Text()}


def upgrade() -> None:
    for name, kind in COLUMNS.items():
        op.add_column("workers", sa.Column(name, kind, nullable=True))


def downgrade() -> None:
    for name in COLUMNS:
        op.drop_column("workers", name)
