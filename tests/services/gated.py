"""Jobs with gates, and the evaluations of these gates, without an engine: rows only."""

from datetime import timedelta
from typing import Any

from sqlalchemy import func, select
from sqlalchemy.orm import Session

from models import Checkpoint, Evaluation, File, Job
from models.base import new_id
from models.jobs import JobState
from services.access.callers import Caller
from services.evaluations import gates
from services.jobs import claims
from tests import records

PASSES = {"value": 0.6, "low": 0.55, "high": 0.65, "n": 100}
FAILS = {"value": 0.3, "low": 0.25, "high": 0.35, "n": 100}
NO_CHANGE = {"value": 0.0, "low": -0.01, "high": 0.01, "n": 100}


def prompts(session: Session, owner: Caller) -> File:
    """A file of 100 prompts that fits all suites without references."""
    report = {
        "rows": 100, "accepted": 100, "dropped": {},
        "prompts": {"suites": ["ifeval", "custom", "reward"], "unfit": {}, "repeated": 0},
    }  # fmt: skip
    return records.file(session, owner, purpose="evals", report=report)


def gate(data: str, **fields: Any) -> dict[str, Any]:
    """A gate as a job's row has it before its training has ended."""
    values = {
        "suite": "ifeval", "data": data, "metric": "prompt_strict", "at_least": 0.5, "judge": None,
        "limit": None, "seed": None, "deploy": True, "evaluation": None,
    }  # fmt: skip
    return values | fields


def job(session: Session, owner: Caller, *of_job: dict[str, Any]) -> Job:
    """A held job with these gates whose training has ended, with a checkpoint."""
    made = records.job(session, owner, JobState.QUEUED, gates=list(of_job))
    hold(session, made)
    made.state = JobState.FINALIZING
    session.add(
        Checkpoint(
            id=new_id("ftckpt"), job_id=made.id, generation=1, step=1, path=f"{made.id}/g1/c",
            kind="adapter", sha256="0", size_bytes=1, metrics={}, model=f"ft:{made.id}:step-1",
        )
    )  # fmt: skip
    session.flush()
    return made


def hold(session: Session, made: Job) -> None:
    """Let a worker hold and run a queued job."""
    made.state = JobState.CLAIMED
    made.generation += 1
    made.lease_until = func.clock_timestamp() + timedelta(minutes=1)
    session.flush()
    made.state = JobState.RUNNING
    session.flush()


def succeed(session: Session, made: Job) -> list[Job]:
    """End a job as its worker does; return the evaluations of its gates, the oldest first."""
    name = f"ft:{made.id}"
    claims.succeed(session, made.id, made.generation, model=name, result_files=[])
    gates.evaluate(session, made)
    session.flush()
    return evaluations_of(session, made)


def evaluations_of(session: Session, made: Job) -> list[Job]:
    query = select(Job).join(Evaluation, Evaluation.id == Job.id)
    of_job = query.where(Evaluation.gated_job_id == made.id)
    return list(session.scalars(of_job.order_by(Job.created_at, Job.id)))


def score(metric: str = "prompt_strict", **estimates: Any) -> dict[str, Any]:
    empty = {"metric": metric, "category": None, "model": None, "baseline": None}
    return {**empty, "difference": None, **estimates}


def measure(
    session: Session, evaluation: Job, *scores: dict[str, Any], answered: int = 100
) -> None:
    """End an evaluation of 100 prompts as its worker does, with these scores."""
    hold(session, evaluation)
    record = session.get_one(Evaluation, evaluation.id)
    record.scores = list(scores)
    record.counts = {"prompts": 100, "answered": answered}
    claims.finalize(session, evaluation.id, evaluation.generation)
    session.flush()
    claims.succeed_with_scores(session, evaluation.id, evaluation.generation)
    session.flush()


def promotion(session: Session, made: Job) -> dict[str, Any]:
    """What was decided about a job, as the database has it."""
    session.refresh(made)
    assert made.promotion is not None
    return made.promotion
