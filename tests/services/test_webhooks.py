"""Webhooks: each end of a job is told once or more, signed as OpenAI's client expects."""

import json
import os
import signal
import subprocess
import sys
import time
from collections.abc import Callable, Iterator
from datetime import timedelta
from typing import Any

import openai
import pytest
from sqlalchemy import func, select, update

from models import AuditEntry, Job, OutboxMessage, Webhook, WebhookDelivery
from models.jobs import JobState, Purpose
from services.access.callers import Caller
from services.jobs import claims, jobs, preparations
from services.platform.database import transaction
from services.platform.errors import Conflict, Fenced, Unavailable
from services.platform.queue import Task
from services.platform.settings import get_settings
from services.webhooks import deliveries, signing, webhooks
from services.webhooks.events import EventType
from tests import records
from tests.services.receiver import Received, Receiver, receiving
from workers import keeper
from workers import webhooks as worker

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


# --- events ---------------------------------------------------------------------------------------


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


# --- attempts -------------------------------------------------------------------------------------


def test_a_receiver_that_fails_is_asked_again_later_under_the_same_id(owner: Caller) -> None:
    answers = iter([500, 302, 200])
    with receiving(lambda _: next(answers), location="http://127.0.0.1:9/") as receiver:
        webhook_id, _ = add(owner, receiver.url)
        end(owner)
        worker.deliver_due()
        (delivery,) = log(webhook_id)
        assert (delivery.status, delivery.last_status_code) == ("pending", 500)
        assert delivery.last_error == "The receiver answered with HTTP 500."
        assert 3 < seconds_until_next(delivery) <= 5.5
        assert worker.deliver_due() == 0
        make_due()
        worker.deliver_due()
        (delivery,) = log(webhook_id)
        assert "Redirects are not followed" in str(delivery.last_error)
        assert 16 < seconds_until_next(delivery) <= 22
        make_due()
        worker.deliver_due()
    (delivery,) = log(webhook_id)
    assert (delivery.status, delivery.attempts, delivery.last_error) == ("delivered", 3, None)
    assert receiver.ids == [delivery.id] * 3


def test_delays_grow_to_four_hours_and_end_after_a_day() -> None:
    total, attempts = 0.0, 0
    while total < timedelta(days=1).total_seconds():
        attempts += 1
        delay = deliveries.delay_s(attempts)
        assert delay <= 4 * 3600 * 1.1
        total += delay
    assert 10 <= attempts <= 13


def test_it_is_given_up_after_a_day_and_sent_on_request(owner: Caller) -> None:
    status = 503
    with receiving(lambda _: status) as receiver:
        webhook_id, _ = add(owner, receiver.url)
        end(owner)
        yesterday = func.clock_timestamp() - timedelta(hours=23, minutes=59, seconds=58)
        make_due(created_at=yesterday)
        worker.deliver_due()
        (delivery,) = log(webhook_id)
        assert (delivery.status, delivery.next_attempt_at) == ("failed", None)
        with transaction() as session:
            asked = deliveries.retry(session, owner, webhook_id, delivery.id)
            assert asked.status == "pending"
        worker.deliver_due()
        assert log(webhook_id)[0].status == "failed"
        status = 204
        for _ in range(2):  # what was delivered may be asked for, too
            with transaction() as session:
                deliveries.retry(session, owner, webhook_id, delivery.id)
            worker.deliver_due()
            (delivery,) = log(webhook_id)
            assert (delivery.status, delivery.last_status_code) == ("delivered", 204)
    assert receiver.ids == [delivery.id] * 4
    with transaction() as session:
        actions = session.scalars(select(AuditEntry.action).order_by(AuditEntry.at)).all()
    assert actions == ["created", "retried", "retried", "retried"]


def test_a_receiver_that_is_gone_turns_its_webhook_off(owner: Caller) -> None:
    with receiving(lambda _: 410) as receiver:
        webhook_id, _ = add(owner, receiver.url)
        for _ in range(6):
            end(owner)
        while worker.deliver_due():
            pass
    assert len(receiver.received) == deliveries.AT_ONCE  # those that were on their way at once
    assert {delivery.status for delivery in log(webhook_id)} == {"failed"}
    assert sum("turned the webhook off" in str(each.last_error) for each in log(webhook_id)) == 5
    end(owner)
    assert len(log(webhook_id)) == 6
    with transaction() as session:
        assert session.get_one(Webhook, webhook_id).disabled_at is not None
        with pytest.raises(Conflict, match="turned off"):
            deliveries.retry(session, owner, webhook_id, log(webhook_id)[0].id)


@pytest.mark.slow
def test_dead_receivers_hold_up_no_other_and_no_job(
    owner: Caller, receiver: Receiver, monkeypatch: pytest.MonkeyPatch
) -> None:
    """One never ends its answer, one's port is closed; the end of a job waits for neither."""
    monkeypatch.setattr(worker, "TIMEOUT_S", 1)
    with receiving(lambda _: None) as slow:
        dead = add(owner, slow.url)[0], add(owner, "http://127.0.0.1:9/")[0]
        alive, _ = add(owner, receiver.url)
        for _ in range(10):
            end(owner)
        begun = time.monotonic()
        worker.deliver()
        assert time.monotonic() - begun < 0.5
        end(owner)
        while log(alive)[-1].status != "delivered":
            assert time.monotonic() - begun < 20
            time.sleep(0.05)
        while worker._busy.locked():
            time.sleep(0.05)
    assert [len(log(each)) for each in (*dead, alive)] == [11, 11, 11]
    assert len(receiver.received) == 11
    errors = [{delivery.last_error for delivery in log(each)} for each in dead]
    assert errors[0] == {"The receiver did not answer within 1 seconds."}
    assert all("could not be sent" in str(error) for error in errors[1])


KILLED = "from workers import webhooks; webhooks.deliver_due()"


@pytest.mark.slow
def test_an_event_is_sent_again_if_its_worker_is_killed_before_it_notes_the_answer(
    owner: Caller,
) -> None:
    child: list[subprocess.Popen[bytes]] = []

    def kill_first(_: Received) -> int:
        if len(receiver.received) == 1:
            child[0].send_signal(signal.SIGKILL)
            child[0].wait()
        return 200

    with receiving(kill_first) as receiver:
        webhook_id, _ = add(owner, receiver.url)
        end(owner)
        child.append(subprocess.Popen([sys.executable, "-c", KILLED], env=dict(os.environ)))
        assert child[0].wait(30) == -signal.SIGKILL
        (delivery,) = log(webhook_id)
        assert (delivery.status, delivery.attempts) == ("pending", 1)
        assert 30 < seconds_until_next(delivery) <= deliveries.CLAIM_S
        make_due()
        worker.deliver_due()
    assert receiver.ids == [delivery.id] * 2
    assert receiver.received[0].body == receiver.received[1].body
    assert log(webhook_id)[0].status == "delivered"


def test_a_late_failure_does_not_undo_a_success(owner: Caller, receiver: Receiver) -> None:
    webhook_id, _ = add(owner, receiver.url)
    end(owner)
    with transaction() as session:
        (late,) = deliveries.claim(session, 1)
    make_due()
    worker.deliver_due()
    with transaction() as session:
        deliveries.note(session, late, deliveries.Outcome(500, "m"))
    assert log(webhook_id)[0].status == "delivered"


# --- what is refused ------------------------------------------------------------------------------


def test_a_private_address_is_refused_when_a_connection_is_made(
    owner: Caller, receiver: Receiver, settings_from: Callable[..., None]
) -> None:
    webhook_id, _ = add(owner, receiver.url)
    end(owner)
    settings_from(egress_allow="")
    worker.deliver_due()
    assert receiver.received == []
    assert "not allowed" in str(log(webhook_id)[0].last_error)


def test_nothing_is_signed_with_another_key_than_the_one_that_was_shown(
    owner: Caller, receiver: Receiver, settings_from: Callable[..., None]
) -> None:
    webhook_id, secret = add(owner, receiver.url)
    assert signing.secret_of(webhook_id) == secret
    end(owner)
    settings_from(webhook_secret=KEY[::-1])
    worker.deliver_due()
    assert "Add the webhook again" in str(log(webhook_id)[0].last_error)
    settings_from(webhook_secret="")
    with pytest.raises(Unavailable, match="ODDSMITH_WEBHOOK_SECRET"):
        add(owner, receiver.url)
    assert receiver.received == []


# --- the keeper -----------------------------------------------------------------------------------


def test_the_keeper_wakes_what_is_due_and_forgets_what_is_old(
    owner: Caller, receiver: Receiver, redis_url: str, settings_from: Callable[..., None]
) -> None:
    settings_from(redis_url=redis_url)
    webhook_id, _ = add(owner, receiver.url)
    for _ in range(3):
        end(owner)
    old = func.clock_timestamp() - deliveries.KEPT_FOR - timedelta(hours=1)
    with transaction() as session:
        session.execute(update(OutboxMessage).values(published_at=func.clock_timestamp()))
        due, waiting, ended = session.scalars(select(WebhookDelivery)).all()
        due.created_at = waiting.created_at = ended.created_at = old
        waiting.next_attempt_at = func.clock_timestamp() + timedelta(hours=1)
        ended.status, ended.next_attempt_at = "failed", None

    def sent() -> list[str]:
        with transaction() as session:
            unpublished = OutboxMessage.published_at.is_(None)
            return list(session.scalars(select(OutboxMessage.task).where(unpublished)))

    keeper.rewake()
    assert sent() == [Task.DELIVER]
    keeper.prune()
    assert {delivery.id for delivery in log(webhook_id)} == {due.id, waiting.id}


def test_a_webhook_goes_with_what_waits_for_it(owner: Caller, receiver: Receiver) -> None:
    webhook_id, _ = add(owner, receiver.url)
    end(owner)
    with transaction() as session:
        (claimed,) = deliveries.claim(session, 1)
    with transaction() as session:
        webhooks.delete(session, owner, webhook_id)
    for outcome in (deliveries.Outcome(200), deliveries.Outcome(410, "m")):
        with transaction() as session:
            deliveries.note(session, claimed, outcome)
    end(owner)
    assert (log(webhook_id), worker.deliver_due()) == ([], 0)
    assert json.loads(claimed.body)["type"] == "fine_tuning.job.failed"
