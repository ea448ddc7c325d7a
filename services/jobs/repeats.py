"""A request to create that is sent twice creates one job. Knows nothing of what is created."""

from datetime import timedelta
from typing import cast

from sqlalchemy import Table, func, select
from sqlalchemy.dialects.postgresql import insert
from sqlalchemy.orm import Session

from models import IdempotencyKey, Job
from services.access.callers import Caller
from services.platform.errors import Mismatch

# The client retries a create within seconds if it got no answer. An identical request an hour later
# is intentional.
RETRY_WINDOW = timedelta(minutes=10)
# Statements on the table: the class would cost the session's bookkeeping for rows that are not
# kept.
KEYS = cast("Table", IdempotencyKey.__table__)
REMEMBER = insert(KEYS).on_conflict_do_nothing().returning(KEYS.c.key)


def earlier(
    session: Session,
    caller: Caller,
    sha256: str,
    job_id: str,
    *,
    idempotency_key: str | None,
    is_retry: bool,
) -> str | None:
    """Return the id of the job that an earlier attempt at this request created; None if there is
    none, and `job_id` is now what `idempotency_key` stands for.

    `sha256` is the request's; `is_retry` says that the client counts this as a repeat. Raises
    Mismatch when the key was used with another request.
    """
    if idempotency_key is not None:
        return _remember(session, caller, idempotency_key, sha256, job_id)
    return _recent_twin(session, caller, sha256) if is_retry else None


def _remember(session: Session, caller: Caller, key: str, sha256: str, job_id: str) -> str | None:
    """Store the key, or return the job it stands for. A parallel create waits on the insert."""
    stored = session.scalar(
        REMEMBER,
        {
            "api_key_id": caller.account,
            "key": key,
            "request_sha256": sha256,
            "resource_id": job_id,
        },
    )
    if stored is not None:
        return None
    known = session.get_one(IdempotencyKey, (caller.account, key))
    if known.request_sha256 != sha256:
        raise Mismatch(
            "This Idempotency-Key was used with another body: send a new key for a new job.",
            param="Idempotency-Key",
        )
    return known.resource_id


def _recent_twin(session: Session, caller: Caller, sha256: str) -> str | None:
    return session.scalar(
        select(Job.id)
        .where(
            Job.org_id == caller.org_id,
            Job.api_key_id == caller.api_key_id,
            Job.request_sha256 == sha256,
            Job.deleted_at.is_(None),
            Job.created_at > func.clock_timestamp() - RETRY_WINDOW,
        )
        .order_by(Job.created_at.desc())
        .limit(1)
    )
