"""Uploads in parts: what a client has announced, and the parts that have arrived so far."""

from datetime import datetime
from enum import StrEnum

from sqlalchemy import ForeignKey, Index, UniqueConstraint, func, text
from sqlalchemy.orm import Mapped, column_property, mapped_column

from models.base import Base, Created, Owned


class UploadStatus(StrEnum):
    PENDING = "pending"
    COMPLETED = "completed"
    CANCELLED = "cancelled"
    EXPIRED = "expired"


class Upload(Owned, Base):
    """A file that arrives in parts. Its parts are removed once it is no longer pending."""

    __tablename__ = "uploads"
    __table_args__ = (Index("ix_uploads_kept", "id", postgresql_where=text("erased_at IS NULL")),)

    id: Mapped[str] = mapped_column(primary_key=True)
    filename: Mapped[str]
    purpose: Mapped[str]
    # What the client has announced; the parts of the completed file have as many bytes together.
    size_bytes: Mapped[int]
    status: Mapped[str] = mapped_column(default=UploadStatus.PENDING)
    expires_at: Mapped[datetime] = mapped_column()
    # How long the file is to be kept once it is made; None: until it is deleted.
    file_seconds: Mapped[int | None]
    # Which columns have other names, {field: column}; null where none has.
    columns: Mapped[dict[str, str] | None]
    file_id: Mapped[str | None] = mapped_column(ForeignKey("files.id"), index=True)
    # The hash of the list of parts that it was completed with: the same list means the same file.
    parts_sha256: Mapped[str | None]
    # Set once nothing of its parts is left on disk.
    erased_at: Mapped[datetime | None]

    # Of the moment at which the row was read, by the clock of the database.
    is_late: Mapped[bool] = column_property(expires_at <= func.clock_timestamp())

    @property
    def state(self) -> UploadStatus:
        """The status; a pending upload has expired at its time, before its row says so."""
        if self.status == UploadStatus.PENDING and self.is_late:
            return UploadStatus.EXPIRED
        return UploadStatus(self.status)


class UploadPart(Created, Base):
    """A part that is stored. Parts of one upload with the same bytes share a storage key."""

    __tablename__ = "upload_parts"
    __table_args__ = (UniqueConstraint("upload_id", "idempotency_key"),)

    id: Mapped[str] = mapped_column(primary_key=True)
    upload_id: Mapped[str] = mapped_column(ForeignKey("uploads.id"))
    size_bytes: Mapped[int]
    sha256: Mapped[str]
    storage_key: Mapped[str]
    # The earlier part with the same bytes, where the client said that it sends these again.
    retry_of: Mapped[str | None]
    idempotency_key: Mapped[str | None]
