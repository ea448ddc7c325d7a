"""Disk use by kind, as last measured: one row."""

from datetime import datetime
from typing import Any

from sqlalchemy.orm import Mapped, mapped_column

from models.base import Base


class StorageUse(Base):
    __tablename__ = "storage_use"

    # Always 1: there is one row.
    id: Mapped[int] = mapped_column(primary_key=True, autoincrement=False)
    measured_at: Mapped[datetime]
    # Bytes by the names of `services.upkeep.storage_use.Kind`.
    use: Mapped[dict[str, Any]]
