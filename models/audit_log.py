"""The audit log: who did what to which object, and when. Rows are only ever added.

No foreign keys: an entry outlives the object that it names.
"""

from datetime import datetime
from typing import Any

from sqlalchemy import Index, func
from sqlalchemy.orm import Mapped, mapped_column

from models.base import Base


class AuditEntry(Base):
    __tablename__ = "audit_log"
    __table_args__ = (Index("ix_audit_log_org_id_at", "org_id", "at", "id"),)

    id: Mapped[str] = mapped_column(primary_key=True)
    at: Mapped[datetime] = mapped_column(server_default=func.clock_timestamp())
    org_id: Mapped[str]
    # None if the keeper or a command on the server did it.
    api_key_id: Mapped[str | None]
    # A verb in the past: created, deleted, deployed.
    action: Mapped[str]
    object_type: Mapped[str]
    object_id: Mapped[str]
    request_id: Mapped[str | None]
    details: Mapped[dict[str, Any]]
