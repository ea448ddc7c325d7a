"""Row 7: Postgres stops without a word, three times, and then for longer than a lease."""

import time

import httpx
import pytest

from tests.e2e.wait import wait_for
from tests.faults import invariants
from tests.faults.stack import ENDLESS, LEASE_S, SHORT, TWO_RANKS, Stack, ended_within

pytestmark = pytest.mark.timeout(600)  # on a machine that others use, too

AWAY_S = LEASE_S + 2


def refused(stack: Stack) -> httpx.Response:
    with stack.http() as http:
        return http.get("/v1/fine_tuning/jobs")


def recovered_s(stack: Stack) -> float:
    """Seconds from Postgres's return until the API answers from it."""
    stack.start_store("postgres")
    back = time.monotonic()
    wait_for(lambda: refused(stack).status_code == 200, 5, stack.logs, interval_s=0.05)
    return time.monotonic() - back


@pytest.mark.faults
def test_row_07_postgres_stops_three_times(stack, faultless, seen):
    """Three immediate stops of Postgres, each right after a create was acknowledged.

    Passes when no acknowledged job is lost, requests meanwhile get 503 with Retry-After, the pool
    works again within 5 s, and I1 to I8 hold. Guards: an acknowledged create is a durable commit;
    the pool tests a connection before use.
    """
    trained = stack.create(**TWO_RANKS)
    stack.until_step(trained, 10)
    slowest_s = 0.0
    for _ in range(3):
        stack.create(**SHORT)
        stack.kill_store("postgres")
        answer = refused(stack)
        assert (answer.status_code, answer.headers["Retry-After"]) == (503, "2")
        slowest_s = max(slowest_s, recovered_s(stack))
    for job_id in stack.jobs[-3:]:
        stack.ask(job_id, "cancel")
    stack.until_state(trained, "succeeded")
    stack.end_all()
    invariants.hold(stack)
    generation = stack.job(trained)["generation"]
    seen(f"nothing lost; answers again after {slowest_s:.1f} s; {generation} claim(s) for the run")


def stop_postgres_while_training(stack: Stack, job_id: str) -> float | None:
    """Seconds until the training was gone, if it went before the lease did."""
    stack.kill_store("postgres")
    gone_s = ended_within(lambda: stack.ranks(job_id), LEASE_S + 0.5)
    time.sleep(AWAY_S - (LEASE_S + 0.5 if gone_s is None else gone_s))
    return gone_s


@pytest.mark.faults
def test_row_07_postgres_is_away_for_longer_than_a_lease(stack, faultless, seen):
    """Postgres stops at once and stays away for a lease and 2 s while a job trains.

    Passes when the training has ended before its lease could go to another, the job resumes
    after Postgres's return, and I1 to I8 hold. Guards: the ranks' deadline, the worker's look at
    its own clock, and the keeper, which takes back jobs whose lease expired.
    """
    job_id = stack.create(**TWO_RANKS)
    stack.until_step(job_id, 50)
    gone_s = stop_postgres_while_training(stack, job_id)
    assert gone_s is not None
    recovery_s = recovered_s(stack)
    assert stack.until_state(job_id, "succeeded")["generation"] == 2
    invariants.hold(stack)
    seen(f"training gone after {gone_s:.1f} s, answers again after {recovery_s:.1f} s, resumed")


@pytest.mark.faults
def test_row_07_needs_the_deadline(stack, seen):
    """The same, and neither ranks nor worker check the time: the training outlives its lease."""
    python = stack.rank_python("deadline")
    for worker in stack.train_workers:
        stack.restart(worker.name, "self_fence", ODDSMITH_TRAIN_PYTHON=python)
    job_id = stack.create(**ENDLESS)
    stack.until_step(job_id, 10)
    gone_s = stop_postgres_while_training(stack, job_id)
    recovered_s(stack)
    assert gone_s is None
    seen("without it the training was alive after its lease")
