"""The protocol between workers: one claim per generation, leases by the database's clock."""

import time
from concurrent.futures import ThreadPoolExecutor
from datetime import timedelta

import pytest
from sqlalchemy import delete, func, select, text
from sqlalchemy.exc import OperationalError

from models import Job, JobEvent, OutboxMessage
from models.jobs import EVALUATED, TRAINED, JobState, Purpose
from orpo.contract.methods import parse_method
from orpo.contract.spec import VERSION
from services.jobs import claims, jobs, waiting, workers
from services.platform import database
from services.platform.errors import Fenced
from services.platform.queue import Task
from services.platform.settings import get_settings
from services.runs import checkpoints
from tests import records


def claim(session, worker="w") -> Job:
    job = claims.claim_next(session, worker)
    assert job is not None
    return job


def expire(session, job):
    session.execute(
        text("UPDATE jobs SET lease_until = clock_timestamp() - interval '1 s' WHERE id = :i"),
        {"i": job.id},
    )
    session.refresh(job)


def test_many_workers_claim_each_job_once(sessions, session, caller):
    made = {records.job(session, caller, JobState.QUEUED).id for _ in range(10)}
    session.commit()

    def claim_once(n):
        with sessions.begin() as own:
            job = claims.claim_next(own, f"w{n}")
            return job.id if job else None

    with ThreadPoolExecutor(8) as pool:
        claimed = [job_id for job_id in pool.map(claim_once, range(30)) if job_id]
    # A worker that finds only locked rows claims nothing; a later wake-up finds them.
    while True:
        with sessions.begin() as own:
            job = claims.claim_next(own, "last")
            if job is None:
                break
            claimed.append(job.id)
    assert sorted(claimed) == sorted(made)


def test_a_worker_that_freezes_in_its_claim_holds_up_no_other_job(sessions, session, caller):
    made = {records.job(session, caller, JobState.QUEUED).id for _ in range(2)}
    session.commit()
    with sessions.begin() as frozen, sessions.begin() as other:
        claimed = {claim(frozen, "w").id}
        other.execute(text("SET LOCAL lock_timeout = '1s'"))
        claimed.add(claim(other, "v").id)
    assert claimed == made


def test_fairness_then_priority_then_age(session, caller):
    other = records.caller(session, "other")
    old = records.job(session, caller, JobState.QUEUED)
    second = records.job(session, caller, JobState.QUEUED)
    of_other = records.job(session, other, JobState.QUEUED)
    urgent = records.job(session, caller, JobState.QUEUED, priority=5)
    order = [claim(session).id for _ in range(4)]
    assert order == [urgent.id, of_other.id, old.id, second.id]


def test_keys_take_turns_however_many_and_however_urgent_their_jobs(session, caller):
    """With one worker, nothing runs when it claims; the key that was served last must wait."""
    other = records.caller(session, "other")
    flood = [records.job(session, caller, JobState.QUEUED, priority=5) for _ in range(3)]
    of_other = [records.job(session, other, JobState.QUEUED) for _ in range(2)]
    places = waiting.places(session)
    by_place = sorted([*flood, *of_other], key=lambda job: places[job.id].position)
    order = []
    for _ in range(5):
        job = claim(session)
        claims.start(session, job.id, 1)
        claims.fail(session, job.id, 1, {"code": "x", "message": "It ended.", "param": None})
        session.flush()
        order.append(job)
    assert order == [flood[0], of_other[0], flood[1], of_other[1], flood[2]] == by_place


def running(session, purposes) -> dict[str, int]:
    """The number of running jobs of each key."""
    shares = claims.shares_of_keys(purposes)
    return {
        row.account: row.running
        for row in session.execute(select(shares.c.account, shares.c.running))
    }


def test_each_kind_of_worker_claims_only_what_is_for_it(session, caller):
    train = records.job(session, caller, JobState.QUEUED)
    evaluation = records.job(session, caller, JobState.QUEUED, purpose=Purpose.EVALUATION)
    estimate = records.job(session, caller, JobState.QUEUED, purpose=Purpose.ESTIMATE)
    claimed = claims.claim_next(session, "e", EVALUATED)
    assert claimed is not None
    assert claimed.id == evaluation.id
    assert claims.claim_next(session, "e", EVALUATED) is None
    assert {claim(session, "t").id, claim(session, "u").id} == {train.id, estimate.id}
    assert claims.claim_next(session, "t") is None


def test_an_evaluation_takes_no_device(session, caller):
    gpus = [{"index": n, "name": "H200", "memory_bytes": 1} for n in range(2)]
    workers.register(session, "both", host="h", cores=1, devices=gpus, queues=["train", "evals"])
    records.job(session, caller, JobState.QUEUED, purpose=Purpose.EVALUATION)
    claimed = claims.claim_next(session, "both", EVALUATED)
    assert claimed is not None
    assert claimed.placement == [{"worker": "both", "host": "h", "devices": []}]


def test_a_key_that_evaluates_keeps_its_turn_to_train(session, caller):
    other = records.caller(session, "other")
    for _ in range(2):
        records.job(session, caller, JobState.QUEUED, purpose=Purpose.EVALUATION)
    assert claims.claim_next(session, "e", EVALUATED) is not None
    first = records.job(session, caller, JobState.QUEUED)
    second = records.job(session, other, JobState.QUEUED)
    assert running(session, TRAINED) == {caller.account: 0, other.account: 0}
    assert running(session, EVALUATED) == {caller.account: 1}
    assert {claim(session, "t").id, claim(session, "u").id} == {first.id, second.id}


def test_evaluations_take_no_place_among_those_that_wait_for_a_train_worker(session, caller):
    records.job(session, caller, JobState.QUEUED, purpose=Purpose.EVALUATION)
    train = records.job(session, caller, JobState.QUEUED)
    assert {each: place.position for each, place in waiting.places(session).items()} == {
        train.id: 1
    }


def test_a_lost_evaluation_wakes_workers_of_its_own_queue(session, caller):
    job = records.job(session, caller, JobState.QUEUED, purpose=Purpose.EVALUATION)
    claims.claim_next(session, "e", EVALUATED)
    session.execute(delete(OutboxMessage))
    claims.lose(session, job.id, 1, "It was lost.")
    assert session.scalars(select(OutboxMessage.task)).all() == [Task.EVALUATE]


def test_an_evaluation_ends_with_its_scores_once(session, caller):
    job = records.job(session, caller, JobState.QUEUED, purpose=Purpose.EVALUATION)
    claims.claim_next(session, "e", EVALUATED)
    claims.start(session, job.id, 1)
    assert claims.finalize(session, job.id, 1)
    with pytest.raises(Fenced):
        claims.succeed_with_scores(session, job.id, 2)
    claims.succeed_with_scores(session, job.id, 1)
    assert job.state == JobState.SUCCEEDED
    with pytest.raises(Fenced):
        claims.succeed_with_scores(session, job.id, 1)
    said = session.scalars(select(JobEvent.message).order_by(JobEvent.seq)).all()
    assert said[-3:] == [
        "Evaluating.",
        "All answers are there; storing the scores.",
        "Finished.",
    ]


def test_a_key_that_deletes_its_jobs_waits_as_long(session, caller):
    other = records.caller(session, "other")
    mine = [records.job(session, caller, JobState.QUEUED) for _ in range(3)]
    of_other = [records.job(session, other, JobState.QUEUED) for _ in range(2)]
    order = []
    for _ in range(4):
        job = claim(session)
        order.append(job)
        claims.start(session, job.id, 1)
        claims.fail(session, job.id, 1, {"code": "x", "message": "It ended.", "param": None})
        session.flush()
        if job in mine:
            session.execute(delete(JobEvent).where(JobEvent.job_id == job.id))
            session.execute(delete(Job).where(Job.id == job.id))
    assert order == [mine[0], of_other[0], mine[1], of_other[1]]


def test_only_the_holder_writes(session, caller):
    job = records.job(session, caller, JobState.QUEUED)
    claims.claim_next(session, "w")
    with pytest.raises(Fenced):
        claims.heartbeat(session, job.id, 0)
    expire(session, job)
    with pytest.raises(Fenced):
        claims.heartbeat(session, job.id, 1)
    assert claims.reap(session) == [job.id]
    assert claim(session, "v").generation == 2
    for write in (claims.heartbeat, claims.start, claims.finalize, claims.release):
        with pytest.raises(Fenced):
            write(session, job.id, 1)


def test_a_lost_claim_is_charged_and_an_orderly_stop_is_not(session, caller):
    job = records.job(session, caller, JobState.QUEUED)
    claims.claim_next(session, "w")
    assert claims.release(session, job.id, 1) == JobState.QUEUED
    assert job.attempts == 0
    claims.claim_next(session, "w")
    claims.lose(session, job.id, 2, "it died")
    assert (job.state, job.attempts) == (JobState.QUEUED, 1)


def test_too_many_losses_end_the_job_with_a_reason(session, caller):
    job = records.job(session, caller, JobState.QUEUED)
    for generation in range(1, get_settings().max_attempts + 1):
        job.available_at = None
        session.flush()
        claims.claim_next(session, "w")
        claims.lose(session, job.id, generation, "The process was killed.")
    assert job.state == JobState.FAILED
    assert job.error is not None
    assert "The process was killed." in job.error["message"]
    last = session.scalars(select(JobEvent).where(JobEvent.terminal)).one()
    assert last.level == "error"


def test_a_new_checkpoint_restarts_the_count(session, caller):
    job = records.job(session, caller, JobState.QUEUED)
    claims.claim_next(session, "w")
    claims.lose(session, job.id, 1, "x")
    claims.claim_next(session, "w")
    saved = checkpoints.register(session, job.id, 2, records.saved(step=5))
    assert job.attempts == 0
    assert saved.path == f"{job.id}/g2/checkpoints/step-5"
    assert saved.model.endswith(":ckpt-step-5")
    assert saved.metrics["accuracy"] == 0.5
    assert saved.metrics["train_loss"] == 1.0
    newest = checkpoints.latest(session, job.id)
    assert newest is not None
    assert newest.id == saved.id
    again = checkpoints.register(session, job.id, 2, records.saved(step=5, sha256="other"))
    session.refresh(again)
    assert (again.id, again.sha256) == (saved.id, "other")


def test_a_clock_that_is_set_back_makes_no_lease_longer(session, caller):
    """A live worker also keeps its claim. For a clock set forward see docs/reliability.md."""
    job = records.job(session, caller, JobState.QUEUED)
    claim(session)
    ahead = text("UPDATE jobs SET lease_until = lease_until + interval '1 hour' WHERE id = :i")
    session.execute(ahead, {"i": job.id})
    assert claims.reap(session) == []
    session.refresh(job)
    now = session.scalars(select(func.clock_timestamp())).one()
    assert job.lease_until <= now + timedelta(seconds=get_settings().lease_s)
    claims.heartbeat(session, job.id, 1)
    expire(session, job)
    assert claims.reap(session) == [job.id]


@pytest.mark.parametrize(
    ("settings", "kind"),
    [
        ({}, "adapter"),
        ({"tuning": "qlora"}, "adapter"),
        ({"use_dora": True}, "merged"),
        ({"modules_to_save": ["lm_head"]}, "merged"),
        ({"tuning": "full"}, "full"),
    ],
)
def test_a_checkpoint_knows_how_it_is_served(session, caller, settings, kind):
    method = parse_method("orpo", settings).model_dump(mode="json")
    job = records.job(session, caller, JobState.QUEUED, method=method)
    claims.claim_next(session, "w")
    assert checkpoints.register(session, job.id, 1, records.saved(step=5)).kind == kind


def test_a_cancel_accepted_before_the_end_wins(session, caller):
    job = records.job(session, caller, JobState.QUEUED)
    claims.claim_next(session, "w")
    claims.start(session, job.id, 1)
    jobs.cancel(session, caller, job.id)
    assert not claims.finalize(session, job.id, 1)
    assert claims.release(session, job.id, 1) == JobState.CANCELLED


def test_a_run_that_ended_between_two_heartbeats_is_finalized(session, caller):
    job = records.job(session, caller, JobState.QUEUED)
    claims.claim_next(session, "w")
    assert claims.finalize(session, job.id, 1)
    session.flush()
    assert job.state == JobState.FINALIZING
    assert job.started_at is not None


def test_a_pause_outlives_a_claim_that_is_lost_while_finalizing(session, caller):
    job = records.job(session, caller, JobState.QUEUED)
    claims.claim_next(session, "w")
    claims.start(session, job.id, 1)
    jobs.pause(session, caller, job.id)
    assert claims.finalize(session, job.id, 1)
    expire(session, job)
    claims.reap(session)
    assert (job.state, job.worker, job.lease_until) == (JobState.PAUSED, None, None)
    jobs.resume(session, caller, job.id)
    assert job.state == JobState.QUEUED


def test_a_cancelled_job_whose_worker_died_is_reaped_as_cancelled(session, caller):
    job = records.job(session, caller, JobState.QUEUED)
    claims.claim_next(session, "w")
    jobs.cancel(session, caller, job.id)
    expire(session, job)
    claims.reap(session)
    assert job.state == JobState.CANCELLED


@pytest.mark.slow
def test_a_worker_that_froze_in_a_transaction_does_not_keep_its_job(
    product, settings_from, session, caller
):
    settings_from(lease_s=1)
    job = records.job(session, caller, JobState.QUEUED)
    claims.claim_next(session, "w")
    session.commit()

    def freeze():
        with database.transaction() as own:
            claims.heartbeat(own, job.id, 1)
            own.flush()
            for _ in range(100):
                if claims.reap(session):
                    break
                session.commit()
                time.sleep(0.1)
            session.commit()
            claims.held(own, job.id, 1)

    with pytest.raises(OperationalError):
        freeze()
    session.refresh(job)
    assert (job.state, job.generation, job.worker) == (JobState.QUEUED, 1, None)


def test_what_a_newer_release_created_is_left_to_its_workers(session, caller):
    newer = records.job(session, caller, JobState.QUEUED, spec_version=VERSION + 1)
    older = records.job(session, caller, JobState.QUEUED, spec_version=VERSION - 1)
    assert claim(session).id == older.id
    assert claims.claim_next(session, "w") is None
    assert newer.state == JobState.QUEUED
