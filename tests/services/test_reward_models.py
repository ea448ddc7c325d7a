"""Which models a job of `ppo` may name as its reward model, and what that keeps from deletion."""

from pathlib import Path
from typing import Any

import pytest

from models import Job
from models.jobs import JobState
from orpo.contract.methods import parse_method
from orpo.contract.spec import write_spec
from services.jobs import claims, jobs
from services.jobs.jobs import NewJob
from services.platform.errors import Conflict, Invalid
from services.processes import reach
from services.runs import checkpoints
from services.upkeep import deletions
from tests import records
from workers.spec import spec_of

FIELD = "method.ppo.hyperparameters.reward_model"


def trained(session: Any, owner: Any, method: str = "reward", **fields: Any) -> Job:
    """A job that has succeeded, with one checkpoint."""
    values = parse_method(method, {}).model_dump(mode="json")
    job = records.job(session, owner, JobState.QUEUED, method=values, **fields)
    claims.claim_next(session, "w")
    claims.start(session, job.id, 1)
    session.flush()
    saved = checkpoints.register(session, job.id, 1, records.saved(2))
    folder = checkpoints.folder(saved)
    folder.mkdir(parents=True)
    claims.finalize(session, job.id, 1)
    session.flush()
    name = checkpoints.model_name(session, job)
    claims.succeed(session, job.id, 1, model=name, result_files=[])
    session.flush()
    session.refresh(job)
    return job


@pytest.fixture
def request_for(product: None, session: Any, caller: Any) -> Any:
    base = records.base_model(session, caller, info=tokenizer("a"))
    pairs = records.file(session, caller)

    def build(reward_model: str | None, model: str = base.id) -> NewJob:
        given = {} if reward_model is None else {"reward_model": reward_model}
        return NewJob(model, pairs.id, method="ppo", hyperparameters=given)

    return build


def tokenizer(sha256: str) -> dict[str, Any]:
    return {"files": {"tokenizer.json": {"sha256": sha256, "stamp": None}}}


def refused(session: Any, caller: Any, request: NewJob) -> str:
    with pytest.raises(Invalid) as caught:
        jobs.create(session, caller, request)
    assert caught.value.param == FIELD
    return str(caught.value)


def test_the_run_of_a_job_gets_the_folder_of_its_reward_model(
    session: Any, caller: Any, request_for: Any, tmp_path: Path
) -> None:
    judge = trained(session, caller, base_model=request_for("x").model)
    assert judge.fine_tuned_model is not None
    saved = checkpoints.latest(session, judge.id)
    assert saved is not None
    for name in (judge.fine_tuned_model, saved.model):
        job = jobs.create(session, caller, request_for(name))
        spec = spec_of(session, job)
        assert spec.reward_path == checkpoints.folder(saved)
        of_judge = spec.model_copy(
            update={"method": parse_method("reward", {}), "base_model_path": tmp_path / "base"}
        )
        write_spec(of_judge, checkpoints.folder(saved).parents[1])
        reads = reach.of_run(spec, tmp_path / "run").reads
        assert {spec.reward_path, tmp_path / "base"} <= set(reads)


def test_a_reward_model_must_be_named_and_be_there(
    session: Any, caller: Any, request_for: Any
) -> None:
    assert "reward_model is required" in refused(session, caller, request_for(None))
    assert "no tuned model 'ft:none'" in refused(session, caller, request_for("ft:none"))


def test_a_reward_model_of_others_is_not_there(session: Any, caller: Any, request_for: Any) -> None:
    theirs = trained(session, records.caller(session, "other"))
    assert "no tuned model" in refused(session, caller, request_for(theirs.fine_tuned_model))


def test_a_model_that_writes_text_is_no_reward_model(
    session: Any, caller: Any, request_for: Any
) -> None:
    tuned = trained(session, caller, "orpo")
    sentence = refused(session, caller, request_for(tuned.fine_tuned_model))
    assert "method 'orpo' and writes text" in sentence


@pytest.mark.parametrize(("other", "may"), [("a", True), ("b", False), (None, True)])
def test_a_reward_model_has_the_tokenizer_of_the_base(
    session: Any, caller: Any, request_for: Any, other: str | None, may: bool
) -> None:
    """Where a hash is not known, the core compares the tokenizers."""
    info = tokenizer(other) if other else {}
    based = records.base_model(session, caller, info=info)
    judge = trained(session, caller, base_model=based.id)
    request = request_for(judge.fine_tuned_model)
    if may:
        jobs.create(session, caller, request)
    else:
        assert "whose tokenizer is not that of" in refused(session, caller, request)


def test_a_reward_model_stays_while_a_job_needs_it(
    session: Any, caller: Any, request_for: Any
) -> None:
    judge = trained(session, caller, base_model=request_for("x").model)
    assert judge.fine_tuned_model is not None
    job = jobs.create(session, caller, request_for(judge.fine_tuned_model))
    saved = checkpoints.latest(session, judge.id)
    assert saved is not None
    with pytest.raises(Conflict, match=f"`{job.id}` is scored by this model"):
        deletions.delete_job(session, caller, judge.id)
    with pytest.raises(Conflict, match=f"`{job.id}` is scored by this model"):
        deletions.delete_checkpoint(session, caller, saved.model)
    jobs.cancel(session, caller, job.id)
    deletions.delete_job(session, caller, judge.id)
    session.flush()
    assert spec_of(session, job).reward_path is None  # the core names the field
