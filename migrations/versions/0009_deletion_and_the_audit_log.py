"""Marks of what was deleted, disk use by kind, and an audit log that can only be added to."""

import sqlalchemy as sa
from alembic import op
from sqlalchemy.dialects import postgresql

revision = "0009"
down_revision = "0008"
branch_labels = None
depends_on = None

JSONB = postgresql.JSONB(astext_type=sa.Text())
MOMENT = sa.DateTime(timezone=True)
# Rows that are marked and not removed yet; there are few at a time.
MARKED = {
    "jobs": "deleted_at IS NOT NULL",
    "checkpoints": "deleted_at IS NOT NULL",
    "files": "deleted_at IS NOT NULL AND erased_at IS NULL",
}
REFUSE = """
    CREATE FUNCTION refuse_change_of_audit_log() RETURNS trigger LANGUAGE plpgsql AS $$
    BEGIN
        RAISE EXCEPTION 'The audit log can only be added to.'
            USING ERRCODE = 'insufficient_privilege';
    END $$
"""
APPEND_ONLY = """
    CREATE TRIGGER append_only BEFORE UPDATE OR DELETE OR TRUNCATE ON audit_log
    FOR EACH STATEMENT EXECUTE FUNCTION refuse_change_of_audit_log()
"""


def upgrade() -> None:
    op.add_column("jobs", sa.Column("deleted_at", MOMENT, nullable=True))
    op.add_column("checkpoints", sa.Column("deleted_at", MOMENT, nullable=True))
    op.add_column("files", sa.Column("erased_at", MOMENT, nullable=True))
    for table, marked in MARKED.items():
        op.create_index(f"ix_{table}_marked", table, ["id"], postgresql_where=sa.text(marked))
    op.create_table(
        "storage_use",
        sa.Column("id", sa.BigInteger(), autoincrement=False, nullable=False),
        sa.Column("measured_at", MOMENT, nullable=False),
        sa.Column("use", JSONB, nullable=False),
        sa.PrimaryKeyConstraint("id", name=op.f("pk_storage_use")),
    )
    op.create_table(
        "audit_log",
        sa.Column("id", sa.Text(), nullable=False),
        sa.Column("at", MOMENT, server_default=sa.text("clock_timestamp()"), nullable=False),
        sa.Column("org_id", sa.Text(), nullable=False),
        sa.Column("api_key_id", sa.Text(), nullable=True),
        sa.Column("action", sa.Text(), nullable=False),
        sa.Column("object_type", sa.Text(), nullable=False),
        sa.Column("object_id", sa.Text(), nullable=False),
        sa.Column("request_id", sa.Text(), nullable=True),
        sa.Column("details", JSONB, nullable=False),
        sa.PrimaryKeyConstraint("id", name=op.f("pk_audit_log")),
    )
    op.create_index("ix_audit_log_org_id_at", "audit_log", ["org_id", "at", "id"])
    op.execute(REFUSE)
    op.execute(APPEND_ONLY)


def downgrade() -> None:
    op.drop_table("audit_log")
    op.execute("DROP FUNCTION refuse_change_of_audit_log()")
    op.drop_table("storage_use")
    for table in MARKED:
        op.drop_index(f"ix_{table}_marked", table_name=table)
    op.drop_column("files", "erased_at")
    op.drop_column("checkpoints", "deleted_at")
    op.drop_column("jobs", "deleted_at")
