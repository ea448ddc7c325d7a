"""Which columns of a file have other names."""

import sqlalchemy as sa
from alembic import op
from sqlalchemy.dialects.postgresql import JSONB

revision = "0012"
down_revision = "0011"
branch_labels = None
depends_on = None


def upgrade() -> None:
    op.add_column("files", sa.Column("columns", JSONB(), nullable=True))


def downgrade() -> None:
    op.drop_column("files", "columns")
