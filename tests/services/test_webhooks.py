"""Webhooks: attempts, what becomes of each, and what is refused."""

import json
import os
import signal
import subprocess
import sys
import time
from collections.abc import Callable
from datetime import timedelta

import pytest
from sqlalchemy import func, select, update

from models import AuditEntry, OutboxMessage, Webhook, WebhookDelivery
from services.access.callers import Caller
from services.platform.database import transaction
from services.platform.errors import Conflict, Unavailable
from services.platform.queue import Task
from services.webhooks import deliveries, signing, webhooks
from tests.services.hooked import KEY, add, end, log, make_due, owner, receiver, seconds_until_next
from tests.services.receiver import Received, Receiver, receiving
from workers import keeper
from workers import webhooks as worker

__all__ = ["owner", "receiver"]


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
        while worker.DELIVERIES.is_busy:
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
