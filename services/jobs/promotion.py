"""Whether a tuned model is promoted: decided when the last evaluation of its job's gates has ended.

Each end of an evaluation calls `settle` in its own transaction, so that a killed worker can't leave
a job undecided. The evaluations are created by `services/evaluations/gates.py`.
"""

from dataclasses import dataclass
from typing import Any

from sqlalchemy import select
from sqlalchemy.orm import Session

from evals import gates
from evals.estimates import Estimate
from models import Evaluation, Job, JobEvent
from models.jobs import JobState, Purpose
from orpo.contract.rundir import Level

# Below this share of answered prompts, an evaluation is incomplete and decides nothing.
COMPLETE = 0.95


@dataclass(frozen=True)
class Verdict:
    """`passed` is None if the evaluation decided nothing."""

    passed: bool | None
    reason: str


def settle(session: Session, evaluation: Job) -> None:
    """Note that this job has ended: decide the gates that it was the last evaluation for, if any.

    Two evaluations that end at once are ordered by the lock on the row of the gated job. Each
    transaction reads the other's end only after its commit, so exactly one sees both.
    """
    if evaluation.purpose != Purpose.EVALUATION:
        return
    session.flush()
    gated = session.scalar(
        select(Job)
        .join(Evaluation, Evaluation.gated_job_id == Job.id)
        .where(Evaluation.id == evaluation.id)
        .with_for_update(of=Job)
        .execution_options(populate_existing=True)
    )
    if gated is not None:
        decide(session, gated)


def decide(session: Session, job: Job) -> None:
    """Set the promotion of a job whose row the caller has locked, once no evaluation is awaited."""
    if not job.gates or job.promotion is not None:
        return
    ids = {gate["evaluation"] for gate in job.gates}
    found = session.execute(
        select(Evaluation, Job)
        .join(Job, Job.id == Evaluation.id)
        .where(Evaluation.id.in_(ids))
        .execution_options(populate_existing=True)
    )
    evaluations = {evaluation.id: (evaluation, of_it) for evaluation, of_it in found}
    # A job has this time from the statement on that ends it.
    if any(of_it.finished_at is None for _, of_it in evaluations.values()):
        return
    decided = []
    for gate in job.gates:
        verdict = _of_gate(gate, *evaluations.get(gate["evaluation"], (None, None)))
        decided.append({**gate, "passed": verdict.passed, "reason": verdict.reason})
    promoted = all(gate["passed"] for gate in decided)
    job.promotion = {"promoted": promoted, "gates": decided}
    session.add(
        JobEvent(
            job_id=job.id,
            generation=job.generation,
            level=Level.INFO if promoted else Level.WARN,
            message=sentence(decided),
            data={"kind": "promotion", "promoted": promoted},
        )
    )
    session.flush()


def sentence(decided: list[dict[str, Any]]) -> str:
    """Say whether a model with these decided gates was promoted, and else why not."""
    failed = [gate for gate in decided if not gate["passed"]]
    if not failed:
        return f"Promoted: the model has passed {_count(len(decided))}."
    first = failed[0]
    return (
        f"Not promoted: the model has not passed {len(failed)} of {_count(len(decided))}. "
        f"`{first['suite']}`, `{first['metric']}`: {first['reason']}"
    )


def _count(gates_: int) -> str:
    return f"{gates_} gate{'s' * (gates_ != 1)}"


def _of_gate(gate: dict[str, Any], evaluation: Evaluation | None, job: Job | None) -> Verdict:
    if gate["evaluation"] is None:
        return Verdict(None, gate["reason"])
    if evaluation is None or job is None or job.deleted_at is not None:
        return Verdict(None, f"The evaluation `{gate['evaluation']}` was deleted.")
    if job.state == JobState.CANCELLED:
        return Verdict(None, f"The evaluation `{job.id}` was cancelled.")
    if job.state == JobState.FAILED:
        why = (job.error or {}).get("message") or "No reason was recorded."
        return Verdict(None, f"The evaluation `{job.id}` failed. {why}")
    asked, answered = (evaluation.counts.get(name) or 0 for name in ("prompts", "answered"))
    if answered < COMPLETE * asked:
        return Verdict(
            None, f"The evaluation `{job.id}` has answers to only {answered} of {asked} prompts."
        )
    return _measured(gate, evaluation.scores, asked)


def _measured(gate: dict[str, Any], scores: list[dict[str, Any]], asked: int) -> Verdict:
    """Decide by the score of all prompts, not of a category."""
    of_metric = (
        score
        for score in scores
        if score["metric"] == gate["metric"] and score.get("category") is None
    )
    score = next(of_metric, {})
    value, change = (_estimate(score.get(name)) for name in ("model", "difference"))
    threshold = gates.parse(gate["at_least"])
    used = change if threshold.relative else value
    if used is not None and used.n < COMPLETE * asked:
        return Verdict(None, f"Only {used.n} of {asked} prompts are in the score.")
    decision = gates.decide(threshold, value, change)
    return Verdict(decision.passed, decision.reason)


def _estimate(stored: dict[str, Any] | None) -> Estimate | None:
    if stored is None:
        return None
    return Estimate(stored["value"], stored["low"], stored["high"], stored["n"])
