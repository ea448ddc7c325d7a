"""Rows 5, 6 and 8: the broker goes away, forgets, loses and doubles; a crash before publishing."""

import time

import celery
import pytest
import redis

from tests.e2e.wait import wait_for
from tests.faults import invariants
from tests.faults.stack import SHORT, TWO_RANKS, Stack

pytestmark = pytest.mark.timeout(600)  # on a machine that others use, too

REDIS_AWAY_S = 60
# An outbox row goes out 0.2 s after its commit; what was lost is found by the keeper's next look.
STARTS_WITHIN_S = 5


def broker(stack: Stack) -> redis.Redis:
    return redis.Redis.from_url(stack.redis.url)


@pytest.mark.faults
def test_row_05_redis_is_away(stack, faultless, seen):
    """SIGKILL to Redis for 60 s while a job trains and two more are created.

    Passes when both are accepted, the training finishes on its first claim, every job runs once
    Redis is back, and I1 to I8 hold. Guards: the outbox (a create needs only Postgres), and workers
    and keeper that reconnect.
    """
    trained = stack.create(**TWO_RANKS)
    stack.until_step(trained, 10)
    stack.kill_store("redis")
    away = time.monotonic()
    created = [stack.create(**SHORT) for _ in range(2)]
    assert stack.until_state(trained, "succeeded")["generation"] == 1
    time.sleep(max(0.0, away + REDIS_AWAY_S - time.monotonic()))
    assert {stack.job(job_id)["state"] for job_id in created} == {"validating_files"}
    stack.start_store("redis")
    back = time.monotonic()
    for job_id in created:
        stack.until_state(job_id, "succeeded")
    invariants.hold(stack)
    seen(f"two creates accepted; both jobs done {time.monotonic() - back:.0f} s after its return")


def lose_a_wake_up(stack: Stack) -> str:
    """A job whose only message is flushed away between publishing and delivery."""
    job_id = stack.create_paused(**SHORT)
    for worker in stack.train_workers:
        worker.kill()
    stack.ask(job_id, "resume")
    with broker(stack) as client:
        wait_for(lambda: client.llen("train"), 10, stack.logs, interval_s=0.02)
        client.flushall()
    return job_id


@pytest.mark.faults
def test_row_05_flushall(stack, seen):
    """FLUSHALL while a wake-up waits in Redis.

    Passes when the job runs nevertheless, and I1 to I8 hold. Guard: the keeper wakes workers for
    what is queued while their queue is empty.
    """
    job_id = lose_a_wake_up(stack)
    stack.heal_programs()
    stack.until(job_id, lambda job: job["state"] == "claimed", STARTS_WITHIN_S)
    stack.until_state(job_id, "succeeded")
    invariants.hold(stack)
    seen("the job ran")


@pytest.mark.faults
def test_row_05_lost_messages(stack, seen):
    """Every second message of the keeper is lost (a harder case than one in ten).

    Passes when every job runs, and I1 to I8 hold. Guard: the same, for files and jobs.
    """
    stack.restart("keeper", "lossy_broker")
    created = [stack.create(**SHORT) for _ in range(3)]
    for job_id in created:
        stack.until_state(job_id, "succeeded", 200)
    invariants.hold(stack)
    seen(f"all {len(created)} jobs ran")


@pytest.mark.stack
@pytest.mark.faults
def test_row_06_the_same_message_five_times(stack, seen):
    """The wake-up of one job is sent five times, to two workers.

    Passes when there is one claim and all five messages were used up, and I1 to I8 hold. Guard: a
    message only wakes; the claim takes a queued row under a lock. The model check removes it
    (tests/services/test_protocol.py).
    """
    job_id = stack.create_paused(**SHORT)
    stack["keeper"].pause()
    stack.ask(job_id, "resume")
    with celery.Celery("faults", broker=stack.redis.url) as sender:
        for _ in range(5):
            sender.send_task("train.run", queue="train", ignore_result=True)
    stack.until_state(job_id, "succeeded")
    with broker(stack) as client:
        wait_for(lambda: client.llen("train") == 0, 20, stack.logs)
    time.sleep(1)  # the last message may be in a worker's hands
    assert stack.job(job_id)["generation"] == 1
    invariants.hold(stack)
    seen("one claim, four no-ops")


def crash_before_publishing(stack: Stack) -> str:
    """A job whose wake-up is committed, while keeper and API have died before anything else."""
    job_id = stack.create_paused(**SHORT)
    stack["keeper"].kill()
    stack.ask(job_id, "resume")
    stack["api"].kill()
    waiting = stack.rows("SELECT count(*) AS n FROM outbox WHERE published_at IS NULL")
    assert waiting[0]["n"] >= 1
    assert stack.job(job_id)["state"] == "queued"
    return job_id


@pytest.mark.stack
@pytest.mark.faults
def test_row_08_a_crash_before_publishing(stack, seen):
    """SIGKILL to keeper and API between the commit of a wake-up and its publishing.

    Passes when the job is claimed within 5 s of the keeper's return, and I1 to I8 hold. Guard: the
    outbox, written in the transaction that queues the job.
    """
    job_id = crash_before_publishing(stack)
    stack["keeper"].start()
    stack["keeper"].until_ready()
    back = time.monotonic()
    stack.until(job_id, lambda job: job["generation"] == 1, STARTS_WITHIN_S)
    claimed_s = time.monotonic() - back
    stack.until_state(job_id, "succeeded")
    invariants.hold(stack)
    seen(f"claimed {claimed_s:.1f} s after the keeper's return")
