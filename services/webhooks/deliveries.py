"""Deliveries: which are due, what became of each attempt, and the log that users read.

An attempt is claimed before it is made: it then counts as lost after CLAIM_S, and the event is sent
again under the same id. So a receiver gets each event at least once.
"""

import json
import random
from collections.abc import Iterator
from dataclasses import dataclass, field
from datetime import timedelta
from typing import Any

from sqlalchemy import CursorResult, delete, func, select, update
from sqlalchemy.orm import Session

from models import Webhook, WebhookDelivery
from models.webhooks import DeliveryStatus
from services.access import audit_log
from services.access.audit_log import Action, Object
from services.access.callers import Caller
from services.platform import retries
from services.platform.errors import Conflict, no_such
from services.platform.pages import paginate
from services.platform.queue import Task, send
from services.webhooks import webhooks

# An attempt ends after TIMEOUT_S. One that was not noted after CLAIM_S was lost with its worker.
TIMEOUT_S = 10
CLAIM_S = 60
# 5 s, 20 s, 80 s, ... but at most 4 hours, each a tenth longer or shorter, for a day: 11 attempts.
FIRST_DELAY_S, FACTOR, LONGEST_DELAY_S, SPREAD = 5, 4, 4 * 3600, 0.1
TRIED_FOR = timedelta(days=1)
KEPT_FOR = timedelta(days=30)
# Deliveries of one webhook that are sent at once. A dead receiver leaves room for the others.
AT_ONCE = 4
GONE = 410
FAILED = {"status": DeliveryStatus.FAILED, "next_attempt_at": None}


@dataclass(frozen=True)
class Attempt:
    """A delivery that was claimed: what to send, and where to."""

    delivery_id: str
    webhook_id: str
    number: int
    url: str = field(repr=False)
    secret_sha256: str
    body: bytes


@dataclass(frozen=True)
class Outcome:
    """What became of an attempt: the answer's HTTP status, if there is one, and why it failed."""

    status_code: int | None = None
    error: str | None = None


def are_due(session: Session) -> bool:
    """Whether a delivery waits for an attempt now."""
    return session.scalar(select(WebhookDelivery.id).where(*_due()).limit(1)) is not None


def claim(session: Session, limit: int) -> list[Attempt]:
    """Claim up to `limit` deliveries that are due, at most AT_ONCE of one webhook.

    The oldest of each webhook come before the second of any.
    """
    of_webhook = func.row_number().over(
        partition_by=WebhookDelivery.webhook_id, order_by=WebhookDelivery.next_attempt_at
    )
    ranked = select(WebhookDelivery.id, of_webhook.label("rank")).where(*_due()).subquery()
    found = session.execute(
        select(WebhookDelivery, Webhook)
        .join(ranked, ranked.c.id == WebhookDelivery.id)
        .join(Webhook, Webhook.id == WebhookDelivery.webhook_id)
        .where(ranked.c.rank <= AT_ONCE, *_due())
        .order_by(ranked.c.rank, WebhookDelivery.next_attempt_at)
        .limit(limit)
        .with_for_update(of=WebhookDelivery, skip_locked=True)
    ).all()
    for delivery, _ in found:
        delivery.attempts += 1
        delivery.next_attempt_at = func.clock_timestamp() + timedelta(seconds=CLAIM_S)
    session.flush()
    return [_attempt(delivery, webhook) for delivery, webhook in found]


def _due() -> tuple[Any, ...]:
    return (
        WebhookDelivery.status == DeliveryStatus.PENDING,
        WebhookDelivery.next_attempt_at <= func.clock_timestamp(),
    )


def _attempt(delivery: WebhookDelivery, webhook: Webhook) -> Attempt:
    event = {
        "id": delivery.event_id,
        "object": "event",
        "created_at": int(delivery.created_at.timestamp()),
        "type": delivery.event_type,
        "data": {"id": delivery.object_id},
    }
    return Attempt(
        delivery.id,
        webhook.id,
        delivery.attempts,
        webhook.url,
        webhook.secret_sha256,
        json.dumps(event, separators=(",", ":")).encode(),
    )


def note(session: Session, attempt: Attempt, outcome: Outcome) -> None:
    """Store what became of an attempt.

    An attempt that was lost, and has been repeated since, stores only its success.
    """
    if outcome.error is None:
        _set(
            session,
            attempt,
            status=DeliveryStatus.DELIVERED,
            delivered_at=func.clock_timestamp(),
            next_attempt_at=None,
            last_status_code=outcome.status_code,
            last_error=None,
        )
        return
    seen = {"last_status_code": outcome.status_code, "last_error": outcome.error}
    if outcome.status_code == GONE:
        _turn_off(session, attempt, seen)
        return
    mine = WebhookDelivery.attempts == attempt.number
    again_at = func.clock_timestamp() + timedelta(seconds=delay_s(attempt.number))
    last = WebhookDelivery.created_at + TRIED_FOR
    if not _set(session, attempt, mine, last >= again_at, next_attempt_at=again_at, **seen):
        _set(session, attempt, mine, **FAILED, **seen)


def delay_s(attempts: int) -> float:
    """Return how long to wait after so many attempts, in seconds."""
    delay = retries.delay_s(
        attempts, first_s=FIRST_DELAY_S, longest_s=LONGEST_DELAY_S, factor=FACTOR
    )
    return delay * random.uniform(1 - SPREAD, 1 + SPREAD)  # noqa: S311 - no secret


def _set(session: Session, attempt: Attempt, *where: Any, **values: Any) -> bool:
    """Change the delivery if it is pending and `where` holds; return whether it was changed."""
    found = session.execute(
        update(WebhookDelivery)
        .where(
            WebhookDelivery.id == attempt.delivery_id,
            WebhookDelivery.status == DeliveryStatus.PENDING,
            *where,
        )
        .values(**values)
        .execution_options(synchronize_session=False)
    )
    return isinstance(found, CursorResult) and found.rowcount > 0


def _turn_off(session: Session, attempt: Attempt, seen: dict[str, Any]) -> None:
    """Send nothing more to a webhook whose receiver is gone for good."""
    # Before the deliveries, in the order in which a deletion takes the locks.
    webhook = session.get(Webhook, attempt.webhook_id, with_for_update=True)
    _set(session, attempt, **FAILED, **seen)
    if webhook is None or webhook.disabled_at is not None:
        return
    webhook.disabled_at = func.clock_timestamp()
    why = "Another event was answered with 410, which turned the webhook off."
    session.execute(
        update(WebhookDelivery)
        .where(
            WebhookDelivery.webhook_id == webhook.id,
            WebhookDelivery.status == DeliveryStatus.PENDING,
        )
        .values(**FAILED, last_error=why)
        .execution_options(synchronize_session=False)
    )
    about = (Action.DISABLED, Object.WEBHOOK, webhook.id)
    audit_log.note(session, webhook.org_id, None, *about, status_code=GONE)


def list_page(
    session: Session, caller: Caller, webhook_id: str, *, after: str | None = None, limit: int = 20
) -> Iterator[WebhookDelivery]:
    """Yield the deliveries of the caller's webhook, newest first, and one beyond the limit."""
    webhook = webhooks.get(session, caller, webhook_id)
    query = select(WebhookDelivery).where(WebhookDelivery.webhook_id == webhook.id)
    keys = (WebhookDelivery.created_at, WebhookDelivery.id)
    return paginate(session, query, *keys, after=after, limit=limit)


def retry(session: Session, caller: Caller, webhook_id: str, delivery_id: str) -> WebhookDelivery:
    """Send a delivery again now, under the same id, whatever became of it.

    If this fails within a day after the event, further attempts follow. Raises Conflict if the
    webhook was turned off.
    """
    webhook = webhooks.get(session, caller, webhook_id)
    session.refresh(webhook, with_for_update={"read": True})
    delivery = session.get(WebhookDelivery, delivery_id, with_for_update=True)
    if delivery is None or delivery.webhook_id != webhook.id:
        listed = f"GET /v1/webhooks/{webhook_id}/deliveries"
        raise no_such("delivery", delivery_id, "delivery_id", listed)
    if webhook.disabled_at is not None:
        raise Conflict(
            "This webhook was turned off, because its receiver answered 410 (Gone). Add a new "
            "webhook, and delete this one.",
            param="webhook_id",
            code="webhook_disabled",
        )
    delivery.status = DeliveryStatus.PENDING
    delivery.next_attempt_at = func.clock_timestamp()
    send(session, Task.DELIVER)
    facts = {"webhook": webhook_id, "event_type": delivery.event_type}
    audit_log.record(session, caller, Action.RETRIED, Object.WEBHOOK_DELIVERY, delivery_id, **facts)
    session.flush()
    session.refresh(delivery)
    return delivery


def forget_old(session: Session) -> None:
    """Delete what the log has held for long enough, except what is still to be sent."""
    ended = WebhookDelivery.status != DeliveryStatus.PENDING
    old = WebhookDelivery.created_at < func.clock_timestamp() - KEPT_FOR
    session.execute(delete(WebhookDelivery).where(ended, old))
