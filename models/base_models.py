"""Registered base models: a name, the folder of its files, and what the check of them found."""

from datetime import datetime
from enum import StrEnum
from typing import Any

from sqlalchemy.orm import Mapped, mapped_column

from models.base import Base, Owned


class BaseModelStatus(StrEnum):
    DOWNLOADING = "downloading"
    READY = "ready"
    ERROR = "error"


class BaseModelRecord(Owned, Base):
    __tablename__ = "base_models"

    id: Mapped[str] = mapped_column(primary_key=True)
    path: Mapped[str]
    revision: Mapped[str | None]
    status: Mapped[str] = mapped_column(default=BaseModelStatus.READY)
    error: Mapped[str | None]
    # `hub_id` of a download, and the answers of `orpo.check_model` and `orpo.base_files`:
    # architecture, sizes, hashes, special tokens.
    info: Mapped[dict[str, Any]] = mapped_column(default=dict)
    deleted_at: Mapped[datetime | None]
