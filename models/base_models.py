"""Registered base models: a name, the folder of its files, and what the check of them found."""

from datetime import datetime
from enum import StrEnum
from typing import Any

from sqlalchemy.orm import Mapped, mapped_column

from models.base import Base, Owned


class BaseModelStatus(StrEnum):
    DOWNLOADING = "downloading"
    MERGING = "merging"
    READY = "ready"
    ERROR = "error"


# A worker is making its folder: from a hub, or from a tuned model.
IN_THE_MAKING = (BaseModelStatus.DOWNLOADING, BaseModelStatus.MERGING)


class BaseModelRecord(Owned, Base):
    __tablename__ = "base_models"

    id: Mapped[str] = mapped_column(primary_key=True)
    path: Mapped[str]
    revision: Mapped[str | None]
    status: Mapped[str] = mapped_column(default=BaseModelStatus.READY)
    error: Mapped[str | None]
    # `hub_id` of a download, `merged_from` of a tuned model, and the answers of `orpo.check_model`
    # and `orpo.base_files`: architecture, sizes, hashes, special tokens.
    info: Mapped[dict[str, Any]] = mapped_column(default=dict)
    deleted_at: Mapped[datetime | None]
