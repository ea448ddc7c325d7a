"""Committed checkpoints. The row is the commit: a folder without a row is not a checkpoint."""

from datetime import datetime
from enum import StrEnum
from typing import Any

from sqlalchemy import ForeignKey, Index, UniqueConstraint, text
from sqlalchemy.orm import Mapped, mapped_column

from models.base import Base, Created


class WeightsKind(StrEnum):
    ADAPTER = "adapter"
    # An adapter that no engine applies: it is served merged into its base.
    MERGED = "merged"
    FULL = "full"


class Checkpoint(Created, Base):
    __tablename__ = "checkpoints"
    __table_args__ = (
        UniqueConstraint("job_id", "step"),
        Index("ix_checkpoints_marked", "id", postgresql_where=text("deleted_at IS NOT NULL")),
    )

    id: Mapped[str] = mapped_column(primary_key=True)
    job_id: Mapped[str] = mapped_column(ForeignKey("jobs.id"))
    generation: Mapped[int]
    step: Mapped[int]
    # Relative to the runs folder: `<job id>/g<generation>/checkpoints/step-000500`.
    path: Mapped[str]
    kind: Mapped[str]
    sha256: Mapped[str]
    size_bytes: Mapped[int]
    metrics: Mapped[dict[str, Any]]
    # `ft:<base>:<org>:<suffix>:<id>:ckpt-step-<n>`, by which it can be served.
    model: Mapped[str] = mapped_column(unique=True)
    # Set when the files were found damaged: it is then neither resumed from nor deployed.
    damaged_at: Mapped[datetime | None]
    # Set when it was deleted, or its job kept others: the files are removed, then the row.
    deleted_at: Mapped[datetime | None]
