"""Keys of raters: a key may be bound to one evaluation, on whose cards alone it votes."""

import sqlalchemy as sa
from alembic import op

revision = "0017"
down_revision = "0016"
branch_labels = None
depends_on = None

FOREIGN_KEY = "fk_api_keys_evaluation_id_evaluations"


def upgrade() -> None:
    op.add_column("api_keys", sa.Column("evaluation_id", sa.Text(), nullable=True))
    op.create_index("ix_api_keys_evaluation_id", "api_keys", ["evaluation_id"])
    op.create_foreign_key(
        FOREIGN_KEY, "api_keys", "evaluations", ["evaluation_id"], ["id"],
        ondelete="SET NULL", deferrable=True, initially="DEFERRED",
    )  # fmt: skip


def downgrade() -> None:
    op.drop_constraint(FOREIGN_KEY, "api_keys", type_="foreignkey")
    op.drop_index("ix_api_keys_evaluation_id", table_name="api_keys")
    op.drop_column("api_keys", "evaluation_id")
