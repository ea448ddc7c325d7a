"""Retries: which errors are retried, after what delay, and the message on the job."""

from types import SimpleNamespace
from typing import Any

import pytest
from sqlalchemy import select, text

from api.schemas.jobs import JobObject
from models import JobEvent, OutboxMessage
from models.jobs import JobState
from orpo.contract.spec import RunSpec
from services.jobs import attempts, claims, jobs
from services.platform import database
from services.platform.errors import Fenced
from services.runs import checkpoints
from tests import records
from workers import keeper, preparations, training
from workers.claim import Claim
from workers.supervision import Supervision

PREPARED = {"train": {"pairs": 8, "tokens": 80, "dropped": {}}, "steps": 4}


@pytest.fixture
def job(product, settings_from, session, caller):
    settings_from(max_attempts=4, retry_delay_s=8, retry_delay_max_s=60)
    return records.job(session, caller, JobState.QUEUED)


def claim(session, job) -> int:
    assert claims.claim_next(session, "w") is job
    return job.generation


def lose(session, job, reason="It died.") -> None:
    job.available_at = None
    session.flush()
    claims.lose(session, job.id, claim(session, job), reason)


def messages(session, job) -> list[str]:
    query = select(JobEvent.message).where(JobEvent.job_id == job.id).order_by(JobEvent.seq)
    return list(session.scalars(query))


@pytest.mark.parametrize(
    ("lost", "delay_s"), [(1, 0), (2, 8), (3, 16), (4, 32), (5, 60), (6, 60), (5000, 60)]
)
def test_the_first_retry_is_at_once_and_the_pause_doubles_up_to_its_longest(job, lost, delay_s):
    assert attempts.delay_s(lost) == delay_s


def test_a_job_that_waits_says_why_and_until_when(session, job):
    claims.heartbeat(session, job.id, claim(session, job), {"step": 3, "steps": 9, "eta_s": 60})
    claims.lose(session, job.id, 1, "It died")
    lose(session, job, "RuntimeError: no\nand a second line")
    shown = JobObject.from_record(job).model_dump()
    assert (shown["status"], shown["error"], shown["attempts"]) == ("queued", None, 2)
    at = shown["progress"]["retry"].pop("at")
    assert at == int(job.available_at.timestamp())
    assert shown["progress"] == {
        "step": 3,
        "steps": 9,
        "retry": {"reason": "RuntimeError: no.", "attempt": 3, "max_attempts": 4},
    }
    told = [message for message in messages(session, job) if "attempt" in message]
    assert told == [
        "It died. Trying again at once (attempt 2 of 4).",
        "RuntimeError: no. Trying again in 8 s (attempt 3 of 4).",
    ]
    assert messages(session, job)[-1] == "Waiting for a worker."


def test_nobody_takes_a_job_before_its_pause_is_over(session, job):
    for _ in range(2):
        lose(session, job)
    assert claims.claim_next(session, "w") is None
    session.execute(text("UPDATE jobs SET available_at = available_at - interval '8 s'"))
    session.refresh(job)
    claim(session, job)


def test_who_resumes_a_job_need_not_wait(session, caller, job):
    lose(session, job)
    job.available_at = None
    generation = claim(session, job)
    jobs.pause(session, caller, job.id)
    claims.lose(session, job.id, generation, "It died.")
    assert job.state == JobState.PAUSED
    assert messages(session, job)[-2:] == ["It died.", "Paused."]
    jobs.resume(session, caller, job.id)
    claim(session, job)


def test_a_new_step_takes_the_reason_away(session, job):
    lose(session, job)
    generation = claim(session, job)
    claims.heartbeat(session, job.id, generation)
    assert job.progress["retry"]
    claims.heartbeat(session, job.id, generation, {"step": 1, "steps": 9})
    assert job.progress == {"step": 1, "steps": 9}


def test_the_last_attempt_fails_with_the_reason_and_promises_none(session, job):
    for _ in range(4):
        lose(session, job, "The process was killed")
    assert job.state == JobState.FAILED
    assert job.progress is None
    assert job.error["code"] == "attempts_exhausted"
    assert "4 times" in job.error["message"]
    assert "The last reason: The process was killed. " in job.error["message"]


def test_a_cancelled_job_that_waited_promises_nothing(session, caller, job):
    lose(session, job)
    jobs.cancel(session, caller, job.id)
    assert (job.state, job.progress) == (JobState.CANCELLED, None)


def test_a_preparation_that_breaks_off_is_explained_and_sent_again_after_its_pause(
    product, session, caller
):
    job = records.job(session, caller)
    session.execute(text("UPDATE jobs SET created_at = created_at - interval '1 min'"))
    session.commit()
    for _ in range(2):
        preparations.charge(job.id, "OSError: the disk is away")
    session.refresh(job)
    assert job.state == JobState.VALIDATING_FILES
    assert job.progress
    assert (
        job.progress["retry"]["reason"] == "Preparing the data failed: OSError: the disk is away."
    )
    for wait_s, sent in ((0, 0), (5, 1)):
        session.execute(
            text("UPDATE jobs SET available_at = available_at - make_interval(secs => :s)"),
            {"s": wait_s},
        )
        keeper._rewake_prepare(session)
        assert len(session.scalars(select(OutboxMessage)).all()) == sent


def test_a_training_does_not_inherit_the_preparation_s_attempts(product, session, caller):
    job = records.job(session, caller)
    session.commit()
    for _ in range(2):
        preparations.charge(job.id, "It broke.")
    with database.transaction() as own:
        preparations._move_on(own, job.id, PREPARED, None)
    session.refresh(job)
    assert (job.state, job.attempts, job.progress) == (JobState.QUEUED, 0, None)
    claim(session, job)


@pytest.fixture
def claimed(session, job, tmp_path) -> Claim:
    """A claim with an existing run directory."""
    spec = RunSpec.model_validate(
        {
            "job_id": job.id, "base_model": job.base_model, "base_model_path": "/nowhere",
            "train_path": "/nowhere", "method": job.method, "seed": 0,
        }
    )  # fmt: skip
    claim(session, job)
    session.commit()
    run_dir = tmp_path / "run"
    run_dir.mkdir()
    return Claim(job.id, 1, spec, None, run_dir)


def ended(outcome: dict[str, Any] | None, was_asked: bool = False) -> Any:
    """A supervision whose process has ended."""
    process: Any = SimpleNamespace(poll=lambda: -9, why=None)
    tail: Any = SimpleNamespace(outcome=outcome, started={})
    asked_at = 1.0 if was_asked else None
    no_claim: Any = None
    return Supervision(no_claim, process, tail, stop_asked_at=asked_at)


def error(code: str) -> dict[str, Any]:
    data = {"code": code, "hint": "Do this.", "param": None}
    return {"type": "error", "message": "It went wrong.", "data": data}


@pytest.mark.parametrize(
    "code",
    ["nan", "bad_spec", "bad_data", "bad_model", "base_changed", "not_resumable", "disk_full"],
)
def test_what_another_attempt_would_repeat_is_final(session, job, claimed, code):
    training._conclude(claimed, ended(error(code)))
    session.refresh(job)
    assert (job.state, job.attempts) == (JobState.FAILED, 0)
    assert job.error == {"code": code, "message": "It went wrong. Do this.", "param": None}


@pytest.mark.parametrize(
    ("outcome", "reason"),
    [
        (None, "The training process ended with code -9."),
        (error("internal"), "It went wrong."),
    ],
)
def test_what_may_go_away_is_tried_again(session, job, claimed, outcome, reason):
    training._conclude(claimed, ended(outcome))
    session.refresh(job)
    assert (job.state, job.attempts, job.error) == (JobState.QUEUED, 1, None)
    assert job.progress["retry"]["reason"] == reason


def test_a_damaged_checkpoint_is_set_aside_and_charges_nothing(session, job, claimed):
    saved = checkpoints.register(session, job.id, 1, records.saved(step=5))
    session.commit()
    claimed.checkpoint_id = saved.id
    training._conclude(claimed, ended(error("bad_checkpoint")))
    session.refresh(job)
    session.refresh(saved)
    assert (job.state, job.attempts, job.progress) == (JobState.QUEUED, 0, None)
    assert saved.damaged_at is not None
    told = session.scalars(select(JobEvent).where(JobEvent.level == "warn")).one()
    assert told.message == "It went wrong. Going on from what was saved before it."


@pytest.mark.parametrize("outcome", [None, {"type": "stopped", "message": "Asked to.", "data": {}}])
def test_a_worker_that_was_told_to_leave_charges_nothing(session, job, claimed, outcome):
    training._conclude(claimed, ended(outcome, was_asked=True))
    session.refresh(job)
    assert (job.state, job.attempts, job.progress) == (JobState.QUEUED, 0, None)


def test_a_full_disk_under_the_worker_ends_the_job_once(session, job, claimed):
    (claimed.run_dir / "deadline.tmp").symlink_to("/dev/full")
    training.train(claimed)
    session.refresh(job)
    assert (job.state, job.attempts) == (JobState.FAILED, 0)
    assert job.error["code"] == "disk_full"
    assert "free some space" in job.error["message"]


def test_a_run_that_could_not_write_why_it_died_died_of_the_full_disk(session, job, claimed):
    (claimed.run_dir / "room").symlink_to("/dev/full")
    training._conclude(claimed, ended(None))
    session.refresh(job)
    assert job.state == JobState.FAILED
    assert job.error == training.NO_ROOM


def test_a_worker_that_can_t_use_the_run_s_files_says_so_at_once(session, job, claimed):
    (claimed.run_dir / "spec.json").mkdir()
    training.train(claimed)
    session.refresh(job)
    assert (job.state, job.attempts) == (JobState.QUEUED, 1)
    assert "Is a directory" in job.progress["retry"]["reason"]


def test_a_worker_that_was_replaced_meanwhile_says_nothing(session, job, claimed):
    claims.lose(session, job.id, 1, "It died.")
    session.commit()
    (claimed.run_dir / "spec.json").mkdir()
    training.train(claimed)
    session.refresh(job)
    assert (job.state, job.attempts) == (JobState.QUEUED, 1)
    assert job.progress["retry"]["reason"] == "It died."
    with pytest.raises(Fenced):
        claims.held(session, job.id, 1)
