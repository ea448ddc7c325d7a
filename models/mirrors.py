"""Mirrors: the copy of a job's numbers in a tracker of experiments, and how far it is."""

from datetime import datetime
from enum import StrEnum
from typing import Any

from sqlalchemy import ForeignKey, Index
from sqlalchemy.orm import Mapped, mapped_column

from models.base import Base


class MirrorStatus(StrEnum):
    WAITING = "waiting"
    MIRRORING = "mirroring"
    DONE = "done"
    FAILED = "failed"


class Mirror(Base):
    __tablename__ = "mirrors"
    __table_args__ = (Index("ix_mirrors_next_at", "next_at"),)

    job_id: Mapped[str] = mapped_column(ForeignKey("jobs.id"), primary_key=True)
    # In the job's list of integrations.
    place: Mapped[int] = mapped_column(primary_key=True, autoincrement=False)
    # `wandb`, `mlflow` or `tensorboard`.
    type: Mapped[str]
    # As the request spells them: {"project", "name", "entity", "tags"} of W&B.
    settings: Mapped[dict[str, Any]]
    status: Mapped[str] = mapped_column(default=MirrorStatus.WAITING)
    # What was copied: {"train": step, "held_out": step, "sample": [step, line]}, and, of a tracker
    # that keeps it in one file, the file's size then: {"bytes": size}.
    position: Mapped[dict[str, Any]] = mapped_column(default=dict)
    # The run's id at the tracker.
    run_id: Mapped[str | None]
    # When it is continued; null once it has ended. While it is worked on, when that counts as lost.
    next_at: Mapped[datetime | None]
    # Passes that have failed since the last success, and why the newest did.
    failures: Mapped[int] = mapped_column(default=0)
    error: Mapped[str | None]
