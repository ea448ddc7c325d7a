"""Fine-tuning jobs and their events.

The allowed transitions are written in `services/jobs/states.py` and in the trigger of the second
migration; a test checks that they are equal.
"""

from datetime import datetime
from enum import StrEnum
from typing import Any

from sqlalchemy import ForeignKey, Identity, Index, text
from sqlalchemy.orm import Mapped, mapped_column

from models.base import Base, Created, Owned


class JobState(StrEnum):
    VALIDATING_FILES = "validating_files"
    QUEUED = "queued"
    CLAIMED = "claimed"
    RUNNING = "running"
    PAUSED = "paused"
    FINALIZING = "finalizing"
    SUCCEEDED = "succeeded"
    FAILED = "failed"
    CANCELLED = "cancelled"


class DesiredState(StrEnum):
    RUN = "run"
    PAUSE = "pause"
    CANCEL = "cancel"


# States in which a worker has the job.
HELD = frozenset({JobState.CLAIMED, JobState.RUNNING, JobState.FINALIZING})


class Purpose(StrEnum):
    """What a job is for: a model, an estimate of what its training would take, a deep audit of its
    training file, or an evaluation of a model.

    The value of the first three is the verb of the core that train workers run. An evaluation has
    workers of its own.
    """

    TRAIN = "train"
    ESTIMATE = "estimate"
    DEEP_AUDIT = "deep_audit"
    EVALUATION = "evaluation"


# What train workers do; an evaluation is done by workers of the queue `evals`.
TRAINED = frozenset({Purpose.TRAIN, Purpose.ESTIMATE, Purpose.DEEP_AUDIT})
EVALUATED = frozenset({Purpose.EVALUATION})


class Job(Owned, Base):
    __tablename__ = "jobs"
    __table_args__ = (
        Index(
            "ix_jobs_claimable",
            "priority",
            "created_at",
            postgresql_where=text("state = 'queued'"),
        ),
        Index(
            "ix_jobs_leased",
            "lease_until",
            postgresql_where=text("state IN ('claimed', 'running', 'finalizing')"),
        ),
        Index("ix_jobs_marked", "id", postgresql_where=text("deleted_at IS NOT NULL")),
    )

    id: Mapped[str] = mapped_column(primary_key=True)
    base_model: Mapped[str] = mapped_column(ForeignKey("base_models.id"))
    training_file: Mapped[str] = mapped_column(ForeignKey("files.id"), index=True)
    validation_file: Mapped[str | None] = mapped_column(ForeignKey("files.id"), index=True)
    # {"type": ..., and every hyperparameter resolved}: `orpo.contract.methods.Method` as JSON.
    # Of an evaluation: {"type": "evaluation"}.
    method: Mapped[dict[str, Any]]
    suffix: Mapped[str | None]
    # What users call the run and say of it: `services.jobs.labels` changes these four. Without a
    # name, it has that of its suffix. An archived run is left out of the list.
    name: Mapped[str | None]
    tags: Mapped[list[str]] = mapped_column(default=list, server_default=text("'[]'"))
    notes: Mapped[str] = mapped_column(default="", server_default="")
    archived: Mapped[bool] = mapped_column(default=False, server_default=text("false"))
    seed: Mapped[int]
    # `metadata` is taken by SQLAlchemy's declarative classes.
    metadata_: Mapped[dict[str, Any]] = mapped_column("metadata", default=dict)
    request_sha256: Mapped[str] = mapped_column(index=True)
    # `orpo.contract.spec.VERSION` of the API that created it: an older worker does not claim it.
    spec_version: Mapped[int] = mapped_column(server_default=text("1"))
    purpose: Mapped[str] = mapped_column(default=Purpose.TRAIN, server_default=Purpose.TRAIN)

    state: Mapped[str] = mapped_column(default=JobState.VALIDATING_FILES, index=True)
    desired_state: Mapped[str] = mapped_column(default=DesiredState.RUN)
    priority: Mapped[int] = mapped_column(default=0)
    # The fence: raised at each claim; a write that carries an older one is refused.
    generation: Mapped[int] = mapped_column(default=0)
    worker: Mapped[str | None]
    lease_until: Mapped[datetime | None]
    # [{"worker", "host", "devices"}] while the job is held: its worker and the GPUs that it leases.
    # On a cluster also {"launcher", "name", "waits_for"}, and no GPUs.
    placement: Mapped[list[Any]] = mapped_column(default=list, server_default=text("'[]'"))
    # Claims that were lost, not all claims: the limit on retries counts these.
    attempts: Mapped[int] = mapped_column(default=0)
    available_at: Mapped[datetime | None]

    started_at: Mapped[datetime | None]
    finished_at: Mapped[datetime | None]
    error: Mapped[dict[str, Any] | None]
    # {"train", "held_out", "steps", ...}: what validation found, before a device is used; and
    # {"token_budget"} if the spec's was too large for the device.
    prepared: Mapped[dict[str, Any] | None]
    # An object with step, steps, epoch, trained_tokens and eta_s. Before the first step it has
    # `preparing`: {"tokenised", "pairs"}; between two attempts, `retry`.
    progress: Mapped[dict[str, Any] | None]
    trained_tokens: Mapped[int | None]
    fine_tuned_model: Mapped[str | None] = mapped_column(unique=True)
    result_files: Mapped[list[str]] = mapped_column(default=list)
    # What an estimate has measured or a deep audit has found: the data of the core's event
    # `estimated` or `audited`.
    estimate: Mapped[dict[str, Any] | None]
    # [{"suite", "metric", "at_least", ...}]: what the model must reach after its training, and
    # {"promoted", "gates"}: whether it has, with the reason for each.
    gates: Mapped[list[Any]] = mapped_column(default=list, server_default=text("'[]'"))
    promotion: Mapped[dict[str, Any] | None]
    # Set when the job was deleted: its files are removed, then its rows.
    deleted_at: Mapped[datetime | None]


class JobEvent(Created, Base):
    __tablename__ = "job_events"
    __table_args__ = (
        Index("uq_job_events_terminal", "job_id", unique=True, postgresql_where=text("terminal")),
        Index("ix_job_events_job_id_seq", "job_id", "seq"),
    )

    seq: Mapped[int] = mapped_column(Identity(), primary_key=True)
    job_id: Mapped[str] = mapped_column(ForeignKey("jobs.id"))
    generation: Mapped[int]
    level: Mapped[str] = mapped_column(server_default="info")
    type: Mapped[str] = mapped_column(server_default="message")
    message: Mapped[str]
    data: Mapped[dict[str, Any] | None]
    terminal: Mapped[bool] = mapped_column(server_default=text("false"))
