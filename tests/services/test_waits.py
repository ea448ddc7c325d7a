"""What a waiting job says that it waits for."""

from datetime import timedelta

import pytest
from sqlalchemy import func

from models import Job
from models.jobs import DesiredState, JobState, Purpose
from orpo.contract.methods import parse_method
from orpo.contract.spec import VERSION
from services.jobs import claims, workers
from services.jobs.waits import Reason, Waits
from tests import records
from tests.services.test_workers import GPUS


@pytest.fixture
def register(session):
    def one(name: str = "w1", queue: str = "train", gpus: int = 0):
        workers.register(session, name, host=name, cores=8, devices=GPUS[:gpus], queues=[queue])

    return one


@pytest.fixture
def queued(session, caller):
    def make(processes: int = 1, nodes: int = 1, **fields) -> Job:
        strategy = "ddp" if processes > 1 else "single"
        settings = {"strategy": strategy, "processes": processes, "nodes": nodes}
        method = parse_method("orpo", settings).model_dump(mode="json")
        return records.job(session, caller, JobState.QUEUED, method=method, **fields)

    return make


def said(session, job: Job) -> tuple[Reason, str]:
    wait = Waits(session).of(job)
    assert wait is not None
    return wait.reason, wait.message


def test_without_a_train_worker_the_queue_is_named(session, queued, register):
    register("p", queue="prepare")
    job = queued()
    assert said(session, job)[0] is Reason.NO_WORKER
    assert "`train`" in said(session, job)[1]


def test_the_next_job_waits_for_a_busy_worker_and_the_one_after_it_for_a_job(
    session, queued, register
):
    register()
    queued()
    claims.claim_next(session, "w1")
    second, third = queued(), queued()
    assert said(session, second) == (
        Reason.FREE_WORKER,
        "Waits for a free train worker: 1 of 1 is busy.",
    )
    assert said(session, third) == (Reason.JOBS_BEFORE, "Waits for 1 job before it.")
    found = Waits(session).of(third)
    assert found
    assert found.place
    assert found.place.position == 2


def test_a_job_that_an_idle_worker_can_take_is_about_to_start(session, queued, register):
    register()
    assert said(session, queued())[0] is Reason.CLAIM


def test_gpus_that_are_taken_are_what_a_job_waits_for(session, queued, register):
    workers.register(session, "w1", host="a", cores=8, devices=GPUS)
    workers.register(session, "w2", host="a", cores=8, devices=GPUS)
    queued(3)
    claims.claim_next(session, "w1")
    job = queued(2)
    assert claims.claim_next(session, "w2") is None
    assert said(session, job) == (
        Reason.GPUS,
        "Waits for 2 free GPUs on one machine: at most 1 is free.",
    )


def test_a_job_of_two_nodes_of_an_earlier_release_waits_for_a_cluster(session, queued, register):
    register("w1")
    job = queued(2, nodes=2)
    assert claims.claim_next(session, "w1") is None
    assert said(session, job) == (
        Reason.CLUSTER,
        "Waits for a cluster: this installation trains on one machine at a time.",
    )


def test_a_claimed_job_waits_for_what_its_cluster_says(session, queued, register, settings_from):
    settings_from(launcher="ray")
    register("w1")
    job = queued(2, nodes=2)
    assert claims.claim_next(session, "w1") is job
    assert Waits(session).of(job) is None
    claims.heartbeat(session, job.id, 1, None, "Waits for Ray.")
    assert said(session, job) == (Reason.CLUSTER, "Waits for Ray.")
    claims.heartbeat(session, job.id, 1)
    assert Waits(session).of(job) is None


def test_after_a_lost_attempt_the_time_that_is_left_is_named(session, queued, register):
    register()
    job = queued(attempts=2)
    job.available_at = func.clock_timestamp() + timedelta(seconds=90)
    session.flush()
    session.refresh(job)
    reason, message = said(session, job)
    assert reason is Reason.RETRY
    assert "before the next attempt (attempt 3 of" in message
    assert any(f"Waits {seconds} s" in message for seconds in (89, 90))


def test_a_job_of_a_newer_release_waits_for_a_newer_worker(session, queued, register):
    register()
    assert said(session, queued(spec_version=VERSION + 1))[0] is Reason.NEWER_WORKER


def test_a_new_job_waits_until_its_files_are_read(session, caller, register):
    job = records.job(session, caller)
    assert said(session, job)[0] is Reason.NO_WORKER
    register("p", queue="prepare")
    assert said(session, job)[0] is Reason.PREPARATION
    job.progress = {"preparing": {"tokenised": 1, "pairs": 8}}
    assert Waits(session).of(job) is None


def test_an_evaluation_waits_for_a_worker_of_its_own(session, caller, register):
    job = session.get(Job, records.evaluation(session, caller).id)
    assert job.purpose == Purpose.EVALUATION
    register("w1")
    assert said(session, job)[0] is Reason.NO_WORKER
    register("e1", queue="evals")
    assert said(session, job)[0] is Reason.CLAIM
    assert claims.claim_next(session, "e1", frozenset({Purpose.EVALUATION})) is job
    other = session.get(Job, records.evaluation(session, caller).id)
    assert said(session, other) == (
        Reason.FREE_WORKER,
        "Waits for a free evaluation worker: 1 of 1 is busy.",
    )


@pytest.mark.parametrize("state", [JobState.PAUSED, JobState.CANCELLED])
def test_a_job_that_is_paused_or_ended_waits_for_no_part_of_the_stack(session, queued, state):
    job = queued()
    job.state = state
    session.flush()
    assert Waits(session).of(job) is None


def test_a_job_that_is_to_be_cancelled_waits_for_nothing(session, queued):
    job = queued(desired_state=DesiredState.CANCEL)
    assert Waits(session).of(job) is None


def test_jobs_that_wait_for_nothing_cost_no_query(session, queued, register):
    register()
    job = queued()
    claims.claim_next(session, "w1")
    known = Waits(session)
    assert known.of(job) is None
    assert known._read is None
