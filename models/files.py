"""Uploaded files, of pairs or of prompts, and the report of their validation."""

from datetime import datetime
from enum import StrEnum
from typing import Any

from sqlalchemy import Index, text
from sqlalchemy.orm import Mapped, mapped_column

from models.base import Base, Owned


class FileStatus(StrEnum):
    UPLOADED = "uploaded"
    PROCESSED = "processed"
    ERROR = "error"


class FilePurpose(StrEnum):
    """What a file is for, in OpenAI's words: pairs, prompts, or the table that a job left."""

    PAIRS = "fine-tune"
    PROMPTS = "evals"
    RESULTS = "fine-tune-results"


# What users upload.
UPLOADED = (FilePurpose.PAIRS, FilePurpose.PROMPTS)


class File(Owned, Base):
    __tablename__ = "files"
    __table_args__ = (
        Index(
            "ix_files_marked",
            "id",
            postgresql_where=text("deleted_at IS NOT NULL AND erased_at IS NULL"),
        ),
        Index(
            "ix_files_expiring",
            "expires_at",
            postgresql_where=text("expires_at IS NOT NULL AND deleted_at IS NULL"),
        ),
        Index("ix_files_parents", "parents", postgresql_using="gin"),
    )

    id: Mapped[str] = mapped_column(primary_key=True)
    filename: Mapped[str]
    purpose: Mapped[str]
    size_bytes: Mapped[int]
    sha256: Mapped[str] = mapped_column(index=True)
    # Files of an organisation with the same bytes share it (`services/files/contents.py`).
    storage_key: Mapped[str] = mapped_column(index=True)
    # The accepted rows in their normal form, which is what a job trains on.
    rows_key: Mapped[str | None]
    status: Mapped[str] = mapped_column(default=FileStatus.UPLOADED, index=True)
    status_details: Mapped[str | None]
    # How often its validation was begun.
    attempts: Mapped[int] = mapped_column(default=0, server_default=text("0"))
    # What its validation found. Before that: how far it is (`progress`), and what the steps of its
    # recipe did (`steps`).
    report: Mapped[dict[str, Any] | None]
    # The steps (`orpo.audit.recipe`) that made it, if it is a version of other files, and those
    # files: [{"id", "sha256"}], first the one that the recipe is for. Until it is made, it has no
    # bytes and its sha256 is "".
    recipe: Mapped[list[Any] | None]
    parents: Mapped[list[Any] | None]
    # {"votes", "counts"} if it was made of votes: by which filter, and what became of them.
    made_from: Mapped[dict[str, Any] | None]
    # Which columns have other names, {field: column}; null where none has.
    columns: Mapped[dict[str, str] | None]
    # When it is deleted; null if its owner set no time.
    expires_at: Mapped[datetime | None]
    deleted_at: Mapped[datetime | None]
    # Set once nothing of a deleted file is left on disk. The row stays: jobs refer to it.
    erased_at: Mapped[datetime | None]
