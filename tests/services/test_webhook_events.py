"""Each end of a job is an event, which OpenAI's client verifies and reads."""

import time
from collections.abc import Callable
from datetime import timedelta
from typing import Any

import openai
import pytest
from sqlalchemy import func, select

from models import Job, OutboxMessage
from models.jobs import JobState, Purpose
from services.access.callers import Caller
from services.jobs import claims, jobs, preparations
from services.platform.database import transaction
from services.platform.errors import Fenced
from services.platform.queue import Task
from services.platform.settings import get_settings
from services.webhooks import signing
from services.webhooks.events import EventType
from tests import records
from tests.services.hooked import add, end, log, owner, receiver, running
from tests.services.receiver import Receiver
from workers import webhooks as worker

__all__ = ["owner", "receiver"]


def succeeded(owner: Caller) -> str:
    claim = running(owner)
    with transaction() as session:
        claims.finalize(session, *claim)
        claims.succeed(session, *claim, model=f"ft:{claim[0]}", result_files=[])
    return claim[0]


def cancelled(owner: Caller) -> str:
    claim = running(owner)
    with transaction() as session:
        jobs.cancel(session, owner, claim[0])
        claims.release(session, *claim)
    return claim[0]


def cancelled_while_it_waits(owner: Caller) -> str:
    with transaction() as session:
        job = records.job(session, owner, JobState.QUEUED)
        return jobs.cancel(session, owner, job.id).id


def failed_in_its_preparation(owner: Caller) -> str:
    with transaction() as session:
        job = records.job(session, owner)
        preparations.fail(session, job, {"code": "bad_data", "message": "m"})
        return job.id


def lost_for_good(owner: Caller) -> str:
    job_id, _ = running(owner)
    with transaction() as session:
        job = session.get_one(Job, job_id)
        job.attempts = get_settings().max_attempts
        job.lease_until = func.clock_timestamp() - timedelta(seconds=1)
    with transaction() as session:
        assert claims.reap(session) == [job_id]
    return job_id


def evaluation_succeeded(owner: Caller) -> str:
    claim = running(owner, Purpose.EVALUATION)
    with transaction() as session:
        claims.finalize(session, *claim)
        claims.succeed_with_scores(session, *claim)
    return claim[0]


def evaluation_failed(owner: Caller) -> str:
    claim = running(owner, Purpose.EVALUATION)
    with transaction() as session:
        claims.fail(session, *claim, {"code": "internal", "message": "m"})
    return claim[0]


def evaluation_canceled(owner: Caller) -> str:
    with transaction() as session:
        job = records.job(session, owner, JobState.QUEUED, purpose=Purpose.EVALUATION)
        return jobs.cancel(session, owner, job.id, Purpose.EVALUATION).id


@pytest.mark.parametrize(
    ("ended", "event_type"),
    [
        (succeeded, "fine_tuning.job.succeeded"),
        (end, "fine_tuning.job.failed"),
        (failed_in_its_preparation, "fine_tuning.job.failed"),
        (lost_for_good, "fine_tuning.job.failed"),
        (cancelled, "fine_tuning.job.cancelled"),
        (cancelled_while_it_waits, "fine_tuning.job.cancelled"),
        (evaluation_succeeded, "eval.run.succeeded"),
        (evaluation_failed, "eval.run.failed"),
        (evaluation_canceled, "eval.run.canceled"),
    ],
)
def test_each_end_is_told_and_openai_s_client_verifies_it(
    owner: Caller, receiver: Receiver, ended: Callable[[Caller], str], event_type: str
) -> None:
    webhook_id, secret = add(owner, f"{receiver.url}?token=1")
    job_id = ended(owner)
    assert worker.deliver_due() == 1
    (received,) = receiver.received
    client = openai.OpenAI(api_key="none", webhook_secret=secret)
    event: Any = client.webhooks.unwrap(received.body, received.headers)
    assert (event.type, event.data.id, event.object) == (event_type, job_id, "event")
    assert abs(event.created_at - time.time()) < 60
    assert received.path == "/hooks?token=1"
    (delivery,) = log(webhook_id)
    assert (delivery.id, delivery.event_id) == (received.headers["webhook-id"], event.id)
    assert (delivery.status, delivery.attempts, delivery.last_status_code) == ("delivered", 1, 200)
    assert worker.deliver_due() == 0
    with pytest.raises(openai.InvalidWebhookSignatureError):
        client.webhooks.unwrap(received.body + b" ", received.headers)
    other = signing.secret_of("whe-other")
    with pytest.raises(openai.InvalidWebhookSignatureError):
        client.webhooks.unwrap(received.body, received.headers, secret=other)


def test_only_those_who_asked_are_told(owner: Caller, receiver: Receiver) -> None:
    with transaction() as session:
        stranger = records.caller(session, "stranger")
    wanting, _ = add(owner, receiver.url, [EventType.JOB_FAILED])
    others = [add(owner, receiver.url, [EventType.JOB_SUCCEEDED]), add(stranger, receiver.url)]
    end(owner)
    estimate = running(owner, Purpose.ESTIMATE)
    with transaction() as session:
        claims.fail(session, *estimate, {"code": "internal", "message": "m"})
    assert len(log(wanting)) == 1
    assert [log(webhook_id) for webhook_id, _ in others] == [[], []]


def test_an_event_is_written_with_the_end_or_not_at_all(owner: Caller, receiver: Receiver) -> None:
    webhook_id, _ = add(owner, receiver.url)
    job_id, generation = running(owner)
    with pytest.raises(Fenced), transaction() as session:
        claims.fail(session, job_id, generation - 1, {"code": "internal", "message": "m"})
    with transaction() as session:
        claims.fail(session, job_id, generation, {"code": "internal", "message": "m"})
        session.rollback()
    assert log(webhook_id) == []
    with transaction() as session:
        claims.fail(session, job_id, generation, {"code": "internal", "message": "m"})
        wake_ups = session.scalars(select(OutboxMessage.task)).all()
    assert wake_ups == [Task.DELIVER]
    assert len(log(webhook_id)) == 1
