"""A caller with webhooks, jobs that end, and what was noted of each delivery."""

from collections.abc import Callable, Iterator
from datetime import timedelta
from typing import Any

import pytest
from sqlalchemy import func, select, update

from models import WebhookDelivery
from models.jobs import JobState, Purpose
from services.access.callers import Caller
from services.jobs import claims
from services.platform.database import transaction
from services.webhooks import webhooks
from services.webhooks.events import EventType
from tests import records
from tests.services.receiver import Receiver, receiving

ALL = list(EventType)
KEY = "a-key-of-the-operator-with-more-than-32-characters"


@pytest.fixture
def owner(product: None, settings_from: Callable[..., None]) -> Caller:
    settings_from(webhook_secret=KEY, egress_allow="127.0.0.1")
    with transaction() as session:
        return records.caller(session)


@pytest.fixture
def receiver() -> Iterator[Receiver]:
    with receiving() as found:
        yield found


def add(owner: Caller, url: str, event_types: list[EventType] = ALL) -> tuple[str, str]:
    """Add a webhook; return its id and its secret."""
    with transaction() as session:
        made, secret = webhooks.create(session, owner, name="n", url=url, event_types=event_types)
        return made.id, secret


def running(owner: Caller, purpose: Purpose = Purpose.TRAIN) -> tuple[str, int]:
    """A job that a worker holds."""
    with transaction() as session:
        job = records.job(session, owner, JobState.QUEUED, purpose=purpose)
        job.generation = 1
        job.lease_until = func.clock_timestamp() + timedelta(minutes=1)
        for state in (JobState.CLAIMED, JobState.RUNNING):
            job.state = state
            session.flush()
        return job.id, job.generation


def end(owner: Caller) -> str:
    """A job that fails."""
    claim = running(owner)
    with transaction() as session:
        claims.fail(session, *claim, {"code": "internal", "message": "m"})
    return claim[0]


def log(webhook_id: str) -> list[WebhookDelivery]:
    with transaction() as session:
        query = select(WebhookDelivery).where(WebhookDelivery.webhook_id == webhook_id)
        return list(session.scalars(query.order_by(WebhookDelivery.created_at)))


def make_due(**values: Any) -> None:
    """Let the next attempts be due now."""
    with transaction() as session:
        session.execute(
            update(WebhookDelivery)
            .where(WebhookDelivery.next_attempt_at.is_not(None))
            .values(next_attempt_at=func.clock_timestamp(), **values)
        )


def seconds_until_next(delivery: WebhookDelivery) -> float:
    with transaction() as session:
        now = session.scalars(select(func.clock_timestamp())).one()
    assert delivery.next_attempt_at is not None
    return (delivery.next_attempt_at - now).total_seconds()
