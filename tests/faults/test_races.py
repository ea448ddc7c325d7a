"""Rows 13 and 14: fifty creates at once with one key, and a cancel that meets a completion."""

import random
import threading
import time
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import pytest
from sqlalchemy import select

from models import Job, JobEvent
from models.jobs import JobState
from orpo.contract.methods import parse_method
from orpo.contract.spec import RunSpec
from services.access.callers import Caller
from services.files import seed
from services.jobs import claims, jobs
from services.platform.database import transaction
from services.platform.errors import Conflict
from tests import records
from tests.faults import invariants
from tests.faults.stack import SHORT, Stack
from workers import training
from workers.claim import Claim
from workers.tail import RunTail

pytestmark = pytest.mark.timeout(600)  # on a machine that others use, too

CREATES = 50
RACES = 1000
CALLER = Caller(seed.ORG_ID, None, records.SCOPES)


def create_at_once(stack: Stack, key: str) -> tuple[set[int], set[str]]:
    """Send one create 50 times in parallel; returns the statuses and the jobs' ids."""
    barrier = threading.Barrier(CREATES)

    def create(_: int) -> tuple[int, str]:
        with stack.http() as http:
            http.get("/healthz")  # the connection is open before the race begins
            barrier.wait()
            answer = http.post(
                "/v1/fine_tuning/jobs", json=stack.body(**SHORT), headers={"Idempotency-Key": key}
            )
            return answer.status_code, answer.json()["id"]

    with ThreadPoolExecutor(CREATES) as pool:
        answers = list(pool.map(create, range(CREATES)))
    ids = {job_id for _, job_id in answers}
    stack.jobs += sorted(ids)
    return {status for status, _ in answers}, ids


@pytest.mark.stack
@pytest.mark.faults
def test_row_13_fifty_creates_with_one_key(stack, seen):
    """50 parallel creates with one Idempotency-Key; then the key with another body.

    Passes when there is one job and every answer names it, and the other body gets 422. Guard: the
    key's row, unique, inserted in the transaction that creates the job.
    """
    before = stack.rows("SELECT count(*) AS n FROM jobs")[0]["n"]
    statuses, ids = create_at_once(stack, "row-13")
    assert (statuses, len(ids)) == ({200}, 1)
    assert stack.rows("SELECT count(*) AS n FROM jobs")[0]["n"] == before + 1
    with stack.http() as http:
        body, headers = stack.body(**SHORT | {"max_steps": 5}), {"Idempotency-Key": "row-13"}
        other = http.post("/v1/fine_tuning/jobs", json=body, headers=headers)
    assert other.status_code == 422
    stack.end_all()
    invariants.hold(stack)
    seen("one job, 50 equal answers; 422 for the other body")


@pytest.mark.faults
def test_row_13_needs_the_key(stack, seen):
    """The same, and keys are not remembered."""
    stack.restart("api", "idempotency")
    _, ids = create_at_once(stack, "row-13-again")
    assert len(ids) > 1
    seen(f"without it there were {len(ids)} jobs")


@pytest.fixture
def parents(product: None) -> dict[str, str]:
    """The base and the file that all jobs of a race share."""
    with transaction() as session:
        base, file = records.base_model(session, CALLER), records.file(session, CALLER)
        return {"base_model": base.id, "training_file": file.id}


def finalizable(parents: dict[str, str]) -> Claim:
    """A job whose training has just ended under a worker's claim."""
    with transaction() as session:
        job_id = records.job(session, CALLER, JobState.QUEUED, **parents).id
        job = claims.claim_next(session, "racer")
        assert job is not None
        assert job.id == job_id
        claims.start(session, job_id, 1)
    nowhere, method = Path("/nowhere"), parse_method("orpo", {})
    spec = RunSpec(
        job_id=job_id,
        base_model="tiny",
        base_model_path=nowhere,
        train_path=nowhere,
        method=method,
    )
    return Claim(job_id, 1, spec, None, nowhere)


def race(claim: Claim, pool: ThreadPoolExecutor, rng: random.Random) -> bool:
    """Let a completion and a cancel meet; returns whether the cancel was accepted."""
    barrier = threading.Barrier(2)

    def complete(delay_s: float) -> None:
        barrier.wait()
        time.sleep(delay_s)
        training._finish(claim, RunTail(claim.run_dir, claim.job_id, claim.generation))

    def cancel(delay_s: float) -> bool:
        barrier.wait()
        time.sleep(delay_s)
        try:
            with transaction() as session:
                jobs.cancel(session, CALLER, claim.job_id)
        except Conflict:
            return False
        return True

    completing = pool.submit(complete, rng.uniform(0, 0.004))
    cancelling = pool.submit(cancel, rng.uniform(0, 0.006))
    completing.result()
    return cancelling.result()


def ends(job_ids: list[str]) -> Iterator[tuple[str, int]]:
    """The state of each job and the number of its terminal events."""
    with transaction() as session:
        for job_id in job_ids:
            events = session.scalars(
                select(JobEvent).where(JobEvent.job_id == job_id, JobEvent.terminal)
            ).all()
            yield session.get_one(Job, job_id).state, len(events)


def race_often(parents: dict[str, str], times: int) -> tuple[int, int, int]:
    """Returns how many cancels were accepted, ended otherwise, and ended not exactly once."""
    rng, accepted, ids = random.Random(14), [], []
    with ThreadPoolExecutor(2) as pool:
        for _ in range(times):
            claim = finalizable(parents)
            ids.append(claim.job_id)
            accepted.append(race(claim, pool, rng))
    found = list(ends(ids))
    wrong = sum(
        (state == JobState.CANCELLED) is not was_accepted
        for (state, _), was_accepted in zip(found, accepted, strict=True)
    )
    return sum(accepted), wrong, sum(n != 1 for _, n in found)


@pytest.mark.stack
@pytest.mark.faults
def test_row_14_a_cancel_meets_a_completion(parents, seen):
    """A cancel races a completion, 1,000 times, on the real services and two threads.

    Passes when each job has one terminal event, every accepted cancel ends `cancelled` and every
    other job `succeeded`. Guard: the completion locks the row and looks at the desired state before
    `finalizing`, from where no cancel is accepted.
    """
    accepted, wrong, doubled = race_often(parents, RACES)
    assert (wrong, doubled) == (0, 0)
    assert 0 < accepted < RACES
    seen(f"{accepted} cancels accepted and kept, {RACES - accepted} refused")


@pytest.mark.faults
def test_row_14_needs_the_look_at_the_desired_state(parents, monkeypatch, seen):
    """The same, and the completion doesn't read the desired state."""

    def finalize(session, job_id, generation):
        claims.held(session, job_id, generation).state = JobState.FINALIZING
        return True

    monkeypatch.setattr(claims, "finalize", finalize)
    accepted, wrong, _ = race_often(parents, 100)
    assert wrong
    seen(f"without it {wrong} of {accepted} accepted cancels ended `succeeded`")
