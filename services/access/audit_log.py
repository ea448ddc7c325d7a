"""The audit log: who did what to which object, and when.

An entry is written in the transaction of the action, so neither exists without the other. A trigger
refuses to change or remove entries.
"""

from collections.abc import Iterator
from contextlib import contextmanager
from enum import StrEnum
from typing import Any, cast

from sqlalchemy import Table, insert, select, text
from sqlalchemy.orm import Session

from models import AuditEntry
from models.base import new_id
from services.access.callers import Caller
from services.platform.logs import request_id
from services.platform.pages import Order, paginate

TABLE = cast("Table", AuditEntry.__table__)


class Action(StrEnum):
    """What can be done to an object."""

    CREATED = "created"
    DELETED = "deleted"
    # Deleted by a retention setting, or by `oddsmith prune`.
    PRUNED = "pruned"
    CANCELLED = "cancelled"
    PAUSED = "paused"
    RESUMED = "resumed"
    EDITED = "edited"
    DEPLOYED = "deployed"
    UNDEPLOYED = "undeployed"
    EXPORTED = "exported"
    REVOKED = "revoked"
    VOTED = "voted"
    # A vote was taken back.
    UNDONE = "undone"
    RESTORED = "restored"
    RETRIED = "retried"
    # By the answer of a webhook's receiver.
    DISABLED = "disabled"


class Object(StrEnum):
    """The kinds of object that entries name."""

    FILE = "file"
    UPLOAD = "upload"
    JOB = "job"
    ESTIMATE = "estimate"
    DEEP_AUDIT = "deep_audit"
    EVALUATION = "evaluation"
    JUDGE = "judge"
    MODEL = "model"
    DEPLOYMENT = "deployment"
    COMPARISON = "comparison"
    API_KEY = "api_key"
    SIGN_IN = "sign_in"
    STACK = "stack"
    WEBHOOK = "webhook"
    WEBHOOK_DELIVERY = "webhook_delivery"


def record(
    session: Session, caller: Caller, action: Action, kind: Object, object_id: str, **details: Any
) -> None:
    """Add an entry in the caller's transaction. `details` hold no secret and no row of a file."""
    note(session, caller.org_id, caller.api_key_id, action, kind, object_id, **details)


def note(
    session: Session,
    org_id: str,
    api_key_id: str | None,
    action: Action,
    kind: Object,
    object_id: str,
    **details: Any,
) -> None:
    """Add an entry without a caller: `api_key_id` is None for what the keeper does."""
    # Into the table, not the session, as for wake-ups: bookkeeping costs as much as the insert.
    session.execute(
        insert(TABLE).inline(),
        {
            "id": new_id("audit"),
            "org_id": org_id,
            "api_key_id": api_key_id,
            "action": action,
            "object_type": kind,
            "object_id": object_id,
            "request_id": request_id.get(),
            "details": details,
        },
    )


def list_page(
    session: Session,
    caller: Caller,
    *,
    object_id: str | None = None,
    after: str | None = None,
    limit: int = 20,
    order: Order = Order.DESC,
) -> Iterator[AuditEntry]:
    """Yield the organisation's entries, of one object or of all, and one beyond the limit."""
    query = select(AuditEntry).where(AuditEntry.org_id == caller.org_id)
    if object_id is not None:
        query = query.where(AuditEntry.object_id == object_id)
    keys = (AuditEntry.at, AuditEntry.id)
    return paginate(session, query, *keys, after=after, limit=limit, order=order)


@contextmanager
def replaceable(session: Session) -> Iterator[None]:
    """Let the log be emptied and loaded within the block, for a restore into a new stack."""
    session.execute(text("ALTER TABLE audit_log DISABLE TRIGGER append_only"))
    yield
    session.execute(text("ALTER TABLE audit_log ENABLE TRIGGER append_only"))
