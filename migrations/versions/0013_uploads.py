"""Uploads in parts, and their parts; files that expire."""

import sqlalchemy as sa
from alembic import op
from sqlalchemy.dialects.postgresql import JSONB

revision = "0013"
down_revision = "0012"
branch_labels = None
depends_on = None

MOMENT = sa.DateTime(timezone=True)
EXPIRING = sa.text("expires_at IS NOT NULL AND deleted_at IS NULL")


def upgrade() -> None:
    op.create_table(
        "uploads",
        sa.Column("id", sa.Text(), nullable=False),
        sa.Column("filename", sa.Text(), nullable=False),
        sa.Column("purpose", sa.Text(), nullable=False),
        sa.Column("size_bytes", sa.BigInteger(), nullable=False),
        sa.Column("status", sa.Text(), nullable=False),
        sa.Column("expires_at", MOMENT, nullable=False),
        sa.Column("file_seconds", sa.BigInteger(), nullable=True),
        sa.Column("columns", JSONB(), nullable=True),
        sa.Column("file_id", sa.Text(), nullable=True),
        sa.Column("parts_sha256", sa.Text(), nullable=True),
        sa.Column("erased_at", MOMENT, nullable=True),
        sa.Column("org_id", sa.Text(), nullable=False),
        sa.Column("api_key_id", sa.Text(), nullable=True),
        sa.Column(
            "created_at", MOMENT, server_default=sa.text("clock_timestamp()"), nullable=False
        ),
        sa.ForeignKeyConstraint(
            ["api_key_id"], ["api_keys.id"], name=op.f("fk_uploads_api_key_id_api_keys")
        ),
        sa.ForeignKeyConstraint(["file_id"], ["files.id"], name=op.f("fk_uploads_file_id_files")),
        sa.ForeignKeyConstraint(
            ["org_id"], ["organizations.id"], name=op.f("fk_uploads_org_id_organizations")
        ),
        sa.PrimaryKeyConstraint("id", name=op.f("pk_uploads")),
    )
    op.create_index(op.f("ix_uploads_org_id"), "uploads", ["org_id"])
    op.create_index(op.f("ix_uploads_file_id"), "uploads", ["file_id"])
    op.create_index(
        "ix_uploads_kept", "uploads", ["id"], postgresql_where=sa.text("erased_at IS NULL")
    )
    op.create_table(
        "upload_parts",
        sa.Column("id", sa.Text(), nullable=False),
        sa.Column("upload_id", sa.Text(), nullable=False),
        sa.Column("size_bytes", sa.BigInteger(), nullable=False),
        sa.Column("sha256", sa.Text(), nullable=False),
        sa.Column("storage_key", sa.Text(), nullable=False),
        sa.Column("retry_of", sa.Text(), nullable=True),
        sa.Column("idempotency_key", sa.Text(), nullable=True),
        sa.Column(
            "created_at", MOMENT, server_default=sa.text("clock_timestamp()"), nullable=False
        ),
        sa.ForeignKeyConstraint(
            ["upload_id"], ["uploads.id"], name=op.f("fk_upload_parts_upload_id_uploads")
        ),
        sa.PrimaryKeyConstraint("id", name=op.f("pk_upload_parts")),
        sa.UniqueConstraint(
            "upload_id", "idempotency_key", name=op.f("uq_upload_parts_upload_id_idempotency_key")
        ),
    )
    op.add_column("files", sa.Column("expires_at", MOMENT, nullable=True))
    op.create_index("ix_files_expiring", "files", ["expires_at"], postgresql_where=EXPIRING)
    # Files with the same bytes share a storage key: see services/files/contents.py.
    op.create_index(op.f("ix_files_storage_key"), "files", ["storage_key"])
    op.create_index(op.f("ix_files_sha256"), "files", ["sha256"])


def downgrade() -> None:
    op.drop_index(op.f("ix_files_sha256"), table_name="files")
    op.drop_index(op.f("ix_files_storage_key"), table_name="files")
    op.drop_index("ix_files_expiring", table_name="files")
    op.drop_column("files", "expires_at")
    op.drop_table("upload_parts")
    op.drop_table("uploads")
