"""The evaluations of a job's gates: created with the job's success, shared where they can be."""

import pytest
from sqlalchemy import func
from sqlalchemy.orm import Session

from models import Evaluation, File, Job, JobEvent, Judge
from models.base import new_id
from models.jobs import JobState
from services.access.callers import Caller
from services.evaluations import gates
from services.files import files
from services.jobs.jobs import NewJob
from services.platform.errors import Conflict, Invalid
from services.upkeep import deletions, removals
from tests.services import gated
from tests.services.gated import PASSES, gate, score

pytestmark = pytest.mark.usefixtures("product")


@pytest.fixture
def data(session: Session, caller: Caller) -> str:
    return gated.prompts(session, caller).id


def judge(session: Session, owner: Caller) -> Judge:
    record = Judge(
        id=new_id("judge"), org_id=owner.org_id, api_key_id=owner.api_key_id, name="j",
        kind="deployment", model="m", sampling={},
    )  # fmt: skip
    session.add(record)
    session.flush()
    return record


def test_gates_share_an_evaluation_unless_they_ask_for_another(
    session: Session, caller: Caller, data: str
) -> None:
    job = gated.job(
        session, caller,
        gate(data, deploy=False),
        gate(data, metric="prompt_loose", at_least="base - 0.02"),
        gate(data, limit=10),
    )  # fmt: skip
    both, limited = gated.succeed(session, job)
    assert [each["evaluation"] for each in job.gates] == [both.id, both.id, limited.id]
    record, of_limited = (session.get_one(Evaluation, each.id) for each in (both, limited))
    assert record.target["model"] == job.fine_tuned_model
    # Relative to the base, or not.
    assert record.baseline == {"model": job.base_model}
    assert of_limited.baseline is None
    assert (record.limit, of_limited.limit) == (None, 10)
    assert record.deploys
    assert (both.state, both.org_id, both.api_key_id) == (
        JobState.QUEUED, caller.org_id, caller.api_key_id,
    )  # fmt: skip
    query = session.query(JobEvent.message).where(JobEvent.job_id == job.id)
    message = f"The model is evaluated for its gates: `{both.id}`, `{limited.id}`."
    assert message in query.all()[-1]


def test_a_win_rate_is_measured_against_the_base(
    session: Session, caller: Caller, data: str
) -> None:
    of_judge = judge(session, caller).id
    asked = gate(data, suite="custom", metric="win_rate", judge=of_judge)
    job = gated.job(session, caller, asked)
    (evaluation,) = gated.succeed(session, job)
    record = session.get_one(Evaluation, evaluation.id)
    assert (record.baseline, record.judge_id) == ({"model": job.base_model}, of_judge)


def test_a_gate_that_can_no_longer_be_evaluated_does_not_undo_the_success(
    session: Session, caller: Caller, data: str
) -> None:
    of_judge = judge(session, caller)
    asked = gate(data, suite="custom", metric="win_rate", judge=of_judge.id)
    job = gated.job(session, caller, asked, gate(data))
    of_judge.deleted_at = func.clock_timestamp()
    (evaluation,) = gated.succeed(session, job)
    assert (job.state, job.promotion) == (JobState.SUCCEEDED, None)
    gated.measure(session, evaluation, score(model=PASSES))
    promotion = gated.promotion(session, job)
    assert [each["passed"] for each in promotion["gates"]] == [None, True]
    assert "It could not be evaluated. No judge has the id" in promotion["gates"][0]["reason"]


def test_without_any_evaluation_the_gates_are_decided_at_once(
    session: Session, caller: Caller, data: str
) -> None:
    job = gated.job(session, caller, gate("file-gone"))
    assert gated.succeed(session, job) == []
    promotion = gated.promotion(session, job)
    assert promotion["promoted"] is False
    assert "There is no file 'file-gone'" in promotion["gates"][0]["reason"]


def test_a_job_without_gates_is_evaluated_for_nothing(session: Session, caller: Caller) -> None:
    job = gated.job(session, caller)
    assert gated.succeed(session, job) == []
    assert job.promotion is None


def test_a_job_is_deleted_once_its_gates_are_decided(
    session: Session, caller: Caller, data: str
) -> None:
    job = gated.job(session, caller, gate(data))
    (evaluation,) = gated.succeed(session, job)
    with pytest.raises(Conflict, match=f"`{evaluation.id}` decides on the gates") as refused:
        deletions.delete_job(session, caller, job.id)
    assert refused.value.code == "evaluation_not_ended"
    gated.measure(session, evaluation, score(model=PASSES))
    deletions.delete_job(session, caller, job.id)
    session.commit()
    removals.remove_all()
    session.expunge_all()
    assert session.get(Job, job.id) is None
    assert session.get_one(Evaluation, evaluation.id).gated_job_id is None


def test_the_prompts_of_a_gate_are_kept_until_its_job_has_ended(
    session: Session, caller: Caller, data: str
) -> None:
    job = gated.job(session, caller, gate(data))
    with pytest.raises(Conflict, match=f"`{job.id}` still uses this file"):
        files.delete(session, caller, data)
    file = session.get_one(File, data)
    file.expires_at = job.created_at
    session.flush()
    files.expire(session)
    assert file.deleted_at is None
    (evaluation,) = gated.succeed(session, job)
    files.expire(session)
    assert file.deleted_at is None
    gated.measure(session, evaluation, score(model=PASSES))
    files.expire(session)
    session.refresh(file)
    assert file.deleted_at is not None


def test_a_reward_model_has_no_gates(session: Session, caller: Caller, data: str) -> None:
    request = NewJob("base", data, method="reward", gates=[gate(data)])
    with pytest.raises(Invalid, match="answers no prompts") as refused:
        gates.check(session, caller, request)
    assert refused.value.param == "gates"
