"""Deployments (what should be served) and engines (the vLLM processes that serve)."""

from datetime import datetime
from enum import StrEnum
from typing import Any

from sqlalchemy import ForeignKey, Index, text
from sqlalchemy.orm import Mapped, mapped_column

from models.base import Base, Created, Owned


class DeploymentStatus(StrEnum):
    PENDING = "pending"
    STARTING = "starting"
    READY = "ready"
    FAILED = "failed"
    STOPPED = "stopped"


class Deployment(Owned, Base):
    __tablename__ = "deployments"
    __table_args__ = (
        # A model is deployed once: posting it again returns the live row.
        Index(
            "uq_deployments_live_model",
            "org_id",
            "model",
            unique=True,
            postgresql_where=text("desired = 'run'"),
        ),
    )

    id: Mapped[str] = mapped_column(primary_key=True)
    model: Mapped[str]
    base_model: Mapped[str] = mapped_column(ForeignKey("base_models.id"))
    # None for a base model itself.
    checkpoint_id: Mapped[str | None] = mapped_column(ForeignKey("checkpoints.id"))
    desired: Mapped[str] = mapped_column(default="run")
    status: Mapped[str] = mapped_column(default=DeploymentStatus.PENDING)
    # Frees its device while a job is held, and returns to it afterwards.
    yields: Mapped[bool] = mapped_column(default=False, server_default=text("false"))
    error: Mapped[dict[str, Any] | None]
    # The parity certificate: token ids equal, largest log-prob difference, weights' sha256.
    parity: Mapped[dict[str, Any] | None]
    engine_id: Mapped[str | None] = mapped_column(ForeignKey("engines.id"))
    ready_at: Mapped[datetime | None]
    updated_at: Mapped[datetime | None]


class Engine(Created, Base):
    __tablename__ = "engines"
    __table_args__ = (
        Index(
            "uq_engines_live_weights",
            "weights",
            unique=True,
            postgresql_where=text("status IN ('starting', 'ready')"),
        ),
    )

    id: Mapped[str] = mapped_column(primary_key=True)
    # What it holds: the folder of a base model, of a model tuned in full, or of merged weights.
    weights: Mapped[str]
    served_name: Mapped[str]
    status: Mapped[str]
    worker: Mapped[str]
    # Its address, or the path of its Unix socket: then the port is 0.
    host: Mapped[str]
    port: Mapped[int]
    pid: Mapped[int | None]
    # Start time of that process in clock ticks, so that a reused pid is not killed.
    pid_started: Mapped[int | None]
    device: Mapped[str]
    max_lora_rank: Mapped[int] = mapped_column(default=0)
    error: Mapped[str | None]
    ready_at: Mapped[datetime | None]
    seen_at: Mapped[datetime | None]
    stopped_at: Mapped[datetime | None]
