"""Whether a model is promoted: decided once, by the end of the last evaluation of its gates."""

import threading
from collections.abc import Callable
from datetime import timedelta

import pytest
from sqlalchemy import func, select
from sqlalchemy.orm import Session, sessionmaker

from models import Evaluation, Job, JobEvent
from models.jobs import DesiredState, JobState, Purpose
from services.access.callers import Caller
from services.jobs import claims, jobs
from services.platform.settings import get_settings
from tests.services import gated
from tests.services.gated import FAILS, NO_CHANGE, PASSES, gate, score

pytestmark = pytest.mark.usefixtures("product")

End = Callable[[Session, Caller, Job], object]


@pytest.fixture
def data(session: Session, caller: Caller) -> str:
    return gated.prompts(session, caller).id


def said(session: Session, job: Job) -> list[str]:
    """The events about the promotion of a job."""
    query = select(JobEvent).where(JobEvent.job_id == job.id).order_by(JobEvent.seq)
    events = [each for each in session.scalars(query) if (each.data or {}).get("kind")]
    return [each.message for each in events if each.data and each.data["kind"] == "promotion"]


def test_a_model_that_passes_all_gates_is_promoted(
    session: Session, caller: Caller, data: str
) -> None:
    relative = gate(data, metric="prompt_loose", at_least="base - 0.02")
    job = gated.job(session, caller, gate(data), relative)
    (evaluation,) = gated.succeed(session, job)
    assert job.promotion is None
    loose = score("prompt_loose", model=FAILS, baseline=FAILS, difference=NO_CHANGE)
    gated.measure(session, evaluation, score(model=PASSES), loose)
    promotion = gated.promotion(session, job)
    assert promotion["promoted"] is True
    first, second = promotion["gates"]
    assert first == {
        **gate(data), "evaluation": evaluation.id, "passed": True,
        "reason": "The value is 0.6 (0.55 to 0.65), at least 0.5.",
    }  # fmt: skip
    assert "The change over the base is 0 (-0.01 to 0.01)" in second["reason"]
    assert said(session, job) == ["Promoted: the model has passed 2 gates."]


def test_one_gate_that_is_not_passed_is_enough(session: Session, caller: Caller, data: str) -> None:
    other = gate(data, metric="prompt_loose", at_least=0.2)
    job = gated.job(session, caller, other, gate(data))
    (evaluation,) = gated.succeed(session, job)
    of_category = score(model=PASSES) | {"category": "length"}
    gated.measure(
        session, evaluation, of_category, score(model=FAILS), score("prompt_loose", model=PASSES)
    )
    promotion = gated.promotion(session, job)
    assert [each["passed"] for each in promotion["gates"]] == [True, False]
    assert promotion["promoted"] is False
    (message,) = said(session, job)
    assert message == (
        "Not promoted: the model has not passed 1 of 2 gates. `ifeval`, `prompt_strict`: The value "
        "is 0.3 (0.25 to 0.35), below 0.5."
    )


def _fail(session: Session, _: Caller, evaluation: Job) -> None:
    gated.hold(session, evaluation)
    error = {"code": "model_not_deployed", "message": "The base is not deployed."}
    claims.fail(session, evaluation.id, evaluation.generation, error)


def _cancel(session: Session, caller: Caller, evaluation: Job) -> None:
    jobs.cancel(session, caller, evaluation.id, Purpose.EVALUATION)


def _cancel_held(session: Session, caller: Caller, evaluation: Job) -> None:
    gated.hold(session, evaluation)
    jobs.cancel(session, caller, evaluation.id, Purpose.EVALUATION)
    session.refresh(evaluation)
    assert evaluation.state == JobState.RUNNING
    claims.release(session, evaluation.id, evaluation.generation)


def _lose(session: Session, _: Caller, evaluation: Job) -> None:
    """As when each worker that has it is killed: the keeper ends it after the last attempt."""
    gated.hold(session, evaluation)
    evaluation.attempts = get_settings().max_attempts - 1
    evaluation.lease_until = func.clock_timestamp() - timedelta(seconds=1)
    session.flush()
    assert claims.reap(session) == [evaluation.id]


def _answer_few(session: Session, _: Caller, evaluation: Job) -> None:
    gated.measure(session, evaluation, score(model=PASSES), answered=94)


def test_a_score_of_few_prompts_decides_nothing(
    session: Session, caller: Caller, data: str
) -> None:
    """As when the judge's replies had no verdict."""
    for n, passed in ((94, None), (95, True)):
        job = gated.job(session, caller, gate(data))
        (evaluation,) = gated.succeed(session, job)
        gated.measure(session, evaluation, score(model=PASSES | {"n": n}))
        (decided,) = gated.promotion(session, job)["gates"]
        assert decided["passed"] is passed
        assert (decided["reason"] == "Only 94 of 100 prompts are in the score.") == (n == 94)


@pytest.mark.parametrize(
    ("end", "reason"),
    [
        (_fail, "failed. The base is not deployed."),
        (_cancel, "was cancelled."),
        (_cancel_held, "was cancelled."),
        (_lose, "failed. The"),
        (_answer_few, "has answers to only 94 of 100 prompts."),
    ],
)
def test_an_evaluation_that_measures_nothing_promotes_nothing(
    session: Session, caller: Caller, data: str, end: End, reason: str
) -> None:
    job = gated.job(session, caller, gate(data))
    (evaluation,) = gated.succeed(session, job)
    end(session, caller, evaluation)
    session.flush()
    promotion = gated.promotion(session, job)
    assert promotion["promoted"] is False
    (decided,) = promotion["gates"]
    assert decided["passed"] is None
    assert f"The evaluation `{evaluation.id}` {reason}" in decided["reason"]
    assert len(said(session, job)) == 1


def test_a_deleted_evaluation_is_not_passed(session: Session, caller: Caller, data: str) -> None:
    job = gated.job(session, caller, gate(data), gate(data, limit=10))
    first, second = gated.succeed(session, job)
    gated.measure(session, first, score(model=PASSES))
    first.deleted_at = func.clock_timestamp()
    session.flush()
    session.refresh(job)
    assert job.promotion is None
    gated.measure(session, second, score(model=PASSES))
    promotion = gated.promotion(session, job)
    assert [each["passed"] for each in promotion["gates"]] == [None, True]
    assert promotion["gates"][0]["reason"] == f"The evaluation `{first.id}` was deleted."


def test_what_was_decided_stays_when_an_evaluation_goes(
    session: Session, caller: Caller, data: str
) -> None:
    job = gated.job(session, caller, gate(data))
    (evaluation,) = gated.succeed(session, job)
    gated.measure(session, evaluation, score(model=PASSES))
    evaluation.deleted_at = func.clock_timestamp()
    session.flush()
    promotion = gated.promotion(session, job)
    assert promotion["promoted"] is True


def test_a_metric_without_a_score_is_not_passed(
    session: Session, caller: Caller, data: str
) -> None:
    job = gated.job(session, caller, gate(data, at_least="base"))
    (evaluation,) = gated.succeed(session, job)
    gated.measure(session, evaluation, score(model=PASSES), score("prompt_loose", model=PASSES))
    promotion = gated.promotion(session, job)
    assert promotion["gates"][0]["reason"] == "Nothing was measured."


def test_an_end_that_is_rolled_back_decides_nothing(
    session: Session, caller: Caller, data: str
) -> None:
    """As when the worker is killed before its commit: the next one ends the evaluation again."""
    job = gated.job(session, caller, gate(data))
    (evaluation,) = gated.succeed(session, job)
    session.commit()
    gated.measure(session, evaluation, score(model=PASSES))
    session.rollback()
    session.refresh(job)
    session.refresh(evaluation)
    assert (job.promotion, evaluation.state) == (None, JobState.QUEUED)
    gated.measure(session, evaluation, score(model=PASSES))
    assert gated.promotion(session, job)["promoted"] is True
    assert len(said(session, job)) == 1


def test_two_evaluations_that_end_at_once_decide_once(
    sessions: sessionmaker[Session], session: Session, caller: Caller, data: str
) -> None:
    job = gated.job(session, caller, gate(data), gate(data, limit=10))
    first, second = (each.id for each in gated.succeed(session, job))
    session.commit()
    ended = threading.Event()

    def end_second() -> None:
        with sessions.begin() as own:
            gated.measure(own, own.get_one(Job, second), score(model=PASSES))
        ended.set()

    other = threading.Thread(target=end_second)
    with sessions.begin() as own:
        gated.measure(own, own.get_one(Job, first), score(model=PASSES))
        other.start()
        _wait_for_a_lock(sessions, ended)
        assert not ended.is_set()
    other.join()
    assert gated.promotion(session, job)["promoted"] is True
    assert len(said(session, job)) == 1


def _wait_for_a_lock(sessions: sessionmaker[Session], ended: threading.Event) -> None:
    """Return once a transaction of this database waits for another one, or has ended."""
    waiting = "SELECT count(*) FROM pg_locks WHERE NOT granted AND locktype = 'transactionid'"
    while not ended.wait(0.005):
        with sessions() as own:
            if own.connection().exec_driver_sql(waiting).scalar_one():
                return


def test_an_evaluation_without_gates_decides_nothing(
    session: Session, caller: Caller, data: str
) -> None:
    job = gated.job(session, caller, gate(data))
    (evaluation,) = gated.succeed(session, job)
    record = session.get_one(Evaluation, evaluation.id)
    record.gated_job_id = None
    session.flush()
    gated.measure(session, evaluation, score(model=PASSES))
    session.refresh(job)
    assert job.promotion is None


def test_a_job_that_is_cancelled_is_not_evaluated(
    session: Session, caller: Caller, data: str
) -> None:
    job = gated.job(session, caller, gate(data))
    job.state = JobState.QUEUED
    job.lease_until = None
    session.flush()
    jobs.pause(session, caller, job.id)
    jobs.resume(session, caller, job.id)
    assert (job.state, job.desired_state) == (JobState.QUEUED, DesiredState.RUN)
    assert job.gates == [gate(data)]
    jobs.cancel(session, caller, job.id)
    assert gated.evaluations_of(session, job) == []
    assert job.promotion is None
