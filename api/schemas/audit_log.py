"""Entries of the audit log on the wire."""

from typing import Any, Literal

from pydantic import BaseModel, Field

from models import AuditEntry


class AuditEntryObject(BaseModel):
    """What one key, or the server, did to one object."""

    id: str
    object: Literal["audit_log.entry"] = "audit_log.entry"
    at: int
    api_key_id: str | None = Field(description="Null where the server did it by itself.")
    action: str
    object_type: str
    object_id: str
    request_id: str | None
    details: dict[str, Any] = Field(description="Facts that differ by action.")

    @classmethod
    def from_record(cls, entry: AuditEntry) -> "AuditEntryObject":
        return cls(
            id=entry.id,
            at=int(entry.at.timestamp()),
            api_key_id=entry.api_key_id,
            action=entry.action,
            object_type=entry.object_type,
            object_id=entry.object_id,
            request_id=entry.request_id,
            details=entry.details,
        )
