"""Files that a recipe made of other files."""

import sqlalchemy as sa
from alembic import op
from sqlalchemy.dialects import postgresql

revision = "0014"
down_revision = "0013"
branch_labels = None
depends_on = None


def upgrade() -> None:
    for name in ("recipe", "parents"):
        op.add_column("files", sa.Column(name, postgresql.JSONB(), nullable=True))
    op.create_index("ix_files_parents", "files", ["parents"], postgresql_using="gin")


def downgrade() -> None:
    op.drop_index("ix_files_parents", table_name="files")
    for name in ("recipe", "parents"):
        op.drop_column("files", name)
