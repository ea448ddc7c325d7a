"""Comparisons with their votes, and sign-ins of browsers."""

import sqlalchemy as sa
from alembic import op
from sqlalchemy.dialects import postgresql

revision = "0003"
down_revision = "0002"
branch_labels = None
depends_on = None


def upgrade() -> None:
    op.create_table(
        "comparisons",
        sa.Column("id", sa.Text(), nullable=False),
        sa.Column("sides", postgresql.JSONB(astext_type=sa.Text()), nullable=False),
        sa.Column("held_out", postgresql.JSONB(astext_type=sa.Text()), nullable=True),
        sa.Column("stopping", postgresql.JSONB(astext_type=sa.Text()), nullable=False),
        sa.Column("ended_at", sa.DateTime(timezone=True), nullable=True),
        sa.Column("choice", sa.Text(), nullable=True),
        sa.Column("voted_at", sa.DateTime(timezone=True), nullable=True),
        sa.Column("org_id", sa.Text(), nullable=False),
        sa.Column("api_key_id", sa.Text(), nullable=True),
        sa.Column(
            "created_at",
            sa.DateTime(timezone=True),
            server_default=sa.text("clock_timestamp()"),
            nullable=False,
        ),
        sa.ForeignKeyConstraint(
            ["api_key_id"], ["api_keys.id"], name=op.f("fk_comparisons_api_key_id_api_keys")
        ),
        sa.ForeignKeyConstraint(
            ["org_id"], ["organizations.id"], name=op.f("fk_comparisons_org_id_organizations")
        ),
        sa.PrimaryKeyConstraint("id", name=op.f("pk_comparisons")),
    )
    op.create_index(op.f("ix_comparisons_org_id"), "comparisons", ["org_id"], unique=False)
    op.create_index(
        "ix_comparisons_org_id_created_at", "comparisons", ["org_id", "created_at"], unique=False
    )
    op.create_table(
        "sign_ins",
        sa.Column("sha256", sa.Text(), nullable=False),
        sa.Column("api_key_id", sa.Text(), nullable=False),
        sa.Column("is_link", sa.Boolean(), nullable=False),
        sa.Column("expires_at", sa.DateTime(timezone=True), nullable=False),
        sa.Column(
            "created_at",
            sa.DateTime(timezone=True),
            server_default=sa.text("clock_timestamp()"),
            nullable=False,
        ),
        sa.ForeignKeyConstraint(
            ["api_key_id"], ["api_keys.id"], name=op.f("fk_sign_ins_api_key_id_api_keys")
        ),
        sa.PrimaryKeyConstraint("sha256", name=op.f("pk_sign_ins")),
    )
    op.create_index(op.f("ix_sign_ins_api_key_id"), "sign_ins", ["api_key_id"], unique=False)


def downgrade() -> None:
    op.drop_index(op.f("ix_sign_ins_api_key_id"), table_name="sign_ins")
    op.drop_table("sign_ins")
    op.drop_index("ix_comparisons_org_id_created_at", table_name="comparisons")
    op.drop_index(op.f("ix_comparisons_org_id"), table_name="comparisons")
    op.drop_table("comparisons")
