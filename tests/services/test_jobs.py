"""Creating jobs and changing their desired state."""

from concurrent.futures import ThreadPoolExecutor
from typing import Any

import pytest
from sqlalchemy import func, select, text
from sqlalchemy.exc import IntegrityError

from models import Job, JobEvent, OutboxMessage
from models.files import FileStatus
from models.jobs import DesiredState, JobState
from services.jobs import claims, jobs
from services.jobs.jobs import NewJob
from services.jobs.states import TRANSITIONS
from services.platform.errors import Conflict, Invalid, Mismatch, NotFound
from tests import records

PATH = "method.orpo.hyperparameters"


@pytest.fixture
def request_for(session, caller):
    base = records.base_model(session, caller)
    pairs = records.file(session, caller)

    def build(**fields):
        values: dict[str, Any] = {"model": base.id, "training_file": pairs.id}
        return NewJob(**(values | fields))

    return build


def test_a_new_job_waits_for_validation_and_wakes_a_worker(session, caller, request_for):
    job = jobs.create(session, caller, request_for(hyperparameters={"lambda": 0.2}))
    assert job.state == JobState.VALIDATING_FILES
    assert job.method["lambda"] == 0.2
    assert job.method["learning_rate"] == 2e-4
    message = session.scalars(select(OutboxMessage)).one()
    assert (message.task, message.arguments) == ("prepare.next", {})


@pytest.mark.parametrize(
    ("fields", "param"),
    [
        ({"model": "gpt-7"}, "model"),
        ({"training_file": "file-none"}, "training_file"),
        ({"method": "grpo"}, "method.type"),
        ({"hyperparameters": {"lambda": -1}}, f"{PATH}.lambda"),
        ({"hyperparameters": {"lamda": 1}}, f"{PATH}.lamda"),
        ({"hyperparameters": {"n_epochs": "many"}}, f"{PATH}.n_epochs"),
        ({"hyperparameters": {"learning_rate": float("nan")}}, f"{PATH}.learning_rate"),
        ({"hyperparameters": {"processes": 2}}, PATH),
        ({"suffix": "a/b"}, "suffix"),
        ({"suffix": "x" * 65}, "suffix"),
        ({"seed": -1}, "seed"),
        ({"metadata": {str(i): "x" for i in range(17)}}, "metadata"),
    ],
)
def test_a_bad_request_names_its_field(session, caller, request_for, fields, param):
    with pytest.raises(Invalid) as caught:
        jobs.create(session, caller, request_for(**fields))
    assert caught.value.param == param
    assert caught.value.message.endswith((".", "report"))


@pytest.mark.parametrize(
    ("fields", "code"),
    [
        ({"status": FileStatus.UPLOADED}, "file_not_ready"),
        ({"status": FileStatus.ERROR}, "file_unusable"),
        ({"accepted": 0}, "file_unusable"),
        ({"report": {"accepted": 3, "shapes": {"messages": 3}}}, "file_unusable"),
    ],
)
def test_a_file_that_cannot_be_trained_on_is_refused(session, caller, request_for, fields, code):
    bad = records.file(session, caller, **fields)
    with pytest.raises(Invalid) as caught:
        jobs.create(session, caller, request_for(training_file=bad.id))
    assert (caught.value.param, caught.value.code) == ("training_file", code)


def test_conversations_train_with_the_supervised_method(session, caller, request_for):
    talks = records.file(session, caller, report={"accepted": 3, "shapes": {"messages": 3}})
    request = request_for(training_file=talks.id, method="supervised")
    assert jobs.create(session, caller, request).method["type"] == "supervised"


def test_another_organisation_sees_nothing(session, caller, request_for):
    job = jobs.create(session, caller, request_for())
    stranger = records.caller(session, "strangers")
    with pytest.raises(NotFound):
        jobs.get(session, stranger, job.id)
    with pytest.raises(Invalid):
        jobs.create(session, stranger, request_for())


def test_parallel_creates_with_one_key_make_one_job(sessions, session, caller, request_for):
    request = request_for(seed=1)
    session.commit()

    def create(_):
        with sessions.begin() as own:
            return jobs.create(own, caller, request, idempotency_key="k").id

    with ThreadPoolExecutor(16) as pool:
        ids = set(pool.map(create, range(50)))
    assert len(ids) == 1
    assert session.scalar(select(func.count()).select_from(Job)) == 1
    other = request_for(seed=2)
    with pytest.raises(Mismatch):
        jobs.create(session, caller, other, idempotency_key="k")


def test_a_repeat_is_matched_and_a_second_job_is_not(session, caller, request_for):
    request = request_for()
    first = jobs.create(session, caller, request)
    assert jobs.create(session, caller, request, is_retry=True).id == first.id
    assert jobs.create(session, caller, request).id != first.id


def test_the_trigger_and_the_table_know_the_same_transitions(session, caller):
    """Try every pair of states on a real row; set the first state with the trigger disabled."""
    allowed = set()
    for was in JobState:
        for becomes in set(JobState) - {was}:
            job = records.job(session, caller)
            session.execute(text("ALTER TABLE jobs DISABLE TRIGGER guard_job"))
            session.execute(
                text("UPDATE jobs SET state = :s WHERE id = :i"), {"s": was, "i": job.id}
            )
            session.execute(text("ALTER TABLE jobs ENABLE TRIGGER guard_job"))
            try:
                with session.begin_nested():
                    session.execute(
                        text(
                            "UPDATE jobs SET state = :s, generation = generation + 1 WHERE id = :i"
                        ),
                        {"s": becomes, "i": job.id},
                    )
            except IntegrityError:
                continue
            allowed.add((was, becomes))
    assert allowed == {(was, to) for was, following in TRANSITIONS.items() for to in following}


def test_a_generation_never_falls(session, caller):
    job = records.job(session, caller, JobState.QUEUED)
    claims.claim_next(session, "w")
    job.generation = 0
    with pytest.raises(IntegrityError, match="may not fall"):
        session.flush()


def test_a_job_has_one_terminal_event(session, caller):
    job = records.job(session, caller, JobState.QUEUED)
    jobs.cancel(session, caller, job.id)
    session.add(JobEvent(job_id=job.id, generation=0, message="again", terminal=True))
    with pytest.raises(IntegrityError, match="uq_job_events_terminal"):
        session.flush()


def test_what_waits_is_cancelled_at_once(session, caller):
    for state in (None, JobState.QUEUED):
        job = records.job(session, caller, state)
        assert jobs.cancel(session, caller, job.id).state == JobState.CANCELLED
        with pytest.raises(Conflict):
            jobs.cancel(session, caller, job.id)


def test_what_runs_is_asked_and_a_paused_job_goes_on(session, caller):
    job = records.job(session, caller, JobState.QUEUED)
    assert (claimed := claims.claim_next(session, "w"))
    assert claimed.id == job.id
    assert jobs.pause(session, caller, job.id).state == JobState.CLAIMED
    assert claims.heartbeat(session, job.id, 1) == DesiredState.PAUSE
    assert claims.release(session, job.id, 1) == JobState.PAUSED
    assert claims.claim_next(session, "w") is None
    assert jobs.resume(session, caller, job.id).state == JobState.QUEUED
    assert (again := claims.claim_next(session, "w"))
    assert again.generation == 2


def test_neither_cancel_nor_pause_reaches_a_job_being_registered(session, caller):
    job = records.job(session, caller, JobState.QUEUED)
    claims.claim_next(session, "w")
    claims.start(session, job.id, 1)
    assert claims.finalize(session, job.id, 1)
    for change in (jobs.cancel, jobs.pause):
        with pytest.raises(Conflict):
            change(session, caller, job.id)


def test_jobs_are_listed_by_metadata_and_page(session, caller):
    made = [records.job(session, caller, metadata_={"n": str(i % 2)}).id for i in range(5)]
    first = jobs.list_jobs(session, caller, after=None, limit=2)
    # One more than the limit, which shows that this is not the last page.
    assert [job.id for job in first] == made[:-4:-1]
    odd = jobs.list_jobs(session, caller, after=None, limit=9, metadata={"n": "1"})
    assert {job.id for job in odd} == {made[1], made[3]}
