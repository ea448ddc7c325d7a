"""Workers that are alive: which queues each serves, where it is, what it may compute on."""

from datetime import datetime
from typing import Any

from sqlalchemy import text
from sqlalchemy.orm import Mapped, mapped_column

from models.base import Base


class Worker(Base):
    __tablename__ = "workers"

    # host:pid, as in `jobs.worker`.
    id: Mapped[str] = mapped_column(primary_key=True)
    queues: Mapped[list[Any]] = mapped_column(server_default=text("'[\"train\"]'"))
    host: Mapped[str]
    cores: Mapped[int]
    # Main memory that its processes may use; None of a worker of an older release, as `release` is.
    memory_bytes: Mapped[int | None]
    # Oddsmith's version.
    release: Mapped[str | None]
    # [{"index", "name", "memory_bytes"}] of the host's GPUs; empty if it has only CPU cores.
    devices: Mapped[list[Any]]
    # The newest `orpo.contract.spec.VERSION` that it can read.
    spec_version: Mapped[int] = mapped_column(server_default=text("1"))
    seen_at: Mapped[datetime]
