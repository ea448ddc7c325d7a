"""A judge against people: an evaluation without a model to ask, whose answers are in a file.

The file holds labelled pairs as LLMBar or PandaLM publish them, or the organisation's own votes on
comparisons, which are written into a file when the evaluation is created: later votes don't change
it. The result is stored with the judge, by the kind of the labels.
"""

import hashlib
from enum import StrEnum

import orjson
from sqlalchemy import select
from sqlalchemy.orm import Session

from models import BaseModelRecord, Comparison, Evaluation, File, Job, Judge
from models.base import new_id
from models.comparisons import Choice
from models.files import FilePurpose
from models.jobs import JobState, Purpose
from orpo.contract.spec import VERSION
from services.access.callers import Caller
from services.evaluations import evaluations, judges
from services.evaluations.evaluations import METHOD, EvaluationJob
from services.evaluations.judges import Kind
from services.evaluations.suites import AGREEMENT
from services.files import files
from services.jobs import checks
from services.platform.errors import Conflict, Invalid
from services.runs import checkpoints
from services.votes import votes
from services.votes.votes import Filter

MOST = votes.MOST  # pairs of one run


class Labels(StrEnum):
    LLMBAR = "llmbar"
    PANDALM = "pandalm"
    VOTES = "votes"


FORMS = {
    Labels.LLMBAR: "`input`, `output_1`, `output_2` and `label` (1 or 2)",
    Labels.PANDALM: "`instruction`, `response1`, `response2` and `annotator1` to `annotator3` "
    "(0, 1 or 2)",
}


def create(
    session: Session,
    caller: Caller,
    judge_id: str,
    labels: Labels,
    data: str | None = None,
    limit: int | None = None,
) -> EvaluationJob:
    """Create the evaluation that compares a judge with people.

    Raises Invalid and NotFound with `param`, and Conflict if there is nothing to compare with.
    """
    judge = judges.get(session, caller, judge_id)
    session.refresh(judge, with_for_update={"read": True})
    if (data is None) != (labels is Labels.VOTES):
        what = "leave it out, votes need no file" if data else f"name a file with {FORMS[labels]}"
        raise Invalid(f"With the labels `{labels}`, {what}.", param="data")
    job = Job(
        id=new_id("eval"),
        org_id=caller.org_id,
        api_key_id=caller.api_key_id,
        base_model=_base(session, caller, judge),
        method=METHOD,
        seed=0,
        metadata_={},
        request_sha256=hashlib.sha256(f"{judge_id} {labels} {data} {limit}".encode()).hexdigest(),
        spec_version=VERSION,
        purpose=Purpose.EVALUATION,
        state=JobState.QUEUED,
        result_files=[],
    )
    if data is None:
        file = _write_votes(session, caller, job)
        job.training_file, sha256, job.result_files = file.id, file.sha256, [file.id]
    else:
        job.training_file = data
        sha256 = _labelled_file(session, caller, labels, data)
    evaluation = Evaluation(
        id=job.id,
        suite=AGREEMENT.name,
        data_sha256=sha256,
        target={"model": judge.model, "base_url": judge.base_url, "secret": judge.secret},
        baseline=None,
        judge_id=judge_id,
        orders=2,
        limit=limit,
        sampling={},
        options={"labels": labels},
        deploys=False,
        counts={},
        scores=[],
        details={},
    )
    made = EvaluationJob(evaluation, job)
    return evaluations.queue(session, caller, made, judge=judge_id, labels=labels)


def _labelled_file(session: Session, caller: Caller, labels: Labels, file_id: str) -> str:
    """Return the sha256 of a file that may hold labelled pairs; raises Invalid."""
    file = checks.usable_file(session, caller, file_id, "data")
    if file.purpose != FilePurpose.PROMPTS:
        raise Invalid(
            f"The file '{file_id}' holds preference pairs. Upload one with the purpose `evals` "
            f"whose rows have {FORMS[labels]}.",
            param="data",
        )
    return file.sha256


def _base(session: Session, caller: Caller, judge: Judge) -> str:
    """The base model of a judge of ours; for an endpoint, which has none, any of the caller's:
    each job names one.
    """
    if judge.kind != Kind.OPENAI:
        base = session.get(BaseModelRecord, judge.model)
        is_base = base is not None and base.org_id == caller.org_id and base.deleted_at is None
        return (
            judge.model
            if is_base
            else checkpoints.resolve(session, caller, judge.model)[1].base_model
        )
    found = session.scalar(
        select(BaseModelRecord.id)
        .where(BaseModelRecord.org_id == caller.org_id, BaseModelRecord.deleted_at.is_(None))
        .order_by(BaseModelRecord.created_at)
        .limit(1)
    )
    if found is None:
        raise Conflict(
            "Your organisation has no base model, and each evaluation is recorded with one. Add "
            "one with POST /v1/models first.",
            param="judge_id",
        )
    return found


def _write_votes(session: Session, caller: Caller, job: Job) -> File:
    """Store the organisation's votes as a file of pairs, the newest last."""
    found = votes.newest(session, caller, Filter())
    lines = [line for comparison in found if (line := _vote(comparison)) is not None]
    if not lines:
        raise Conflict(
            "There is no vote to compare the judge with: vote on the page Chat, on comparisons of "
            "two models that were asked the same. POST /v1/comparisons/{id}/vote votes, too.",
            param="labels",
            code="no_votes",
        )
    parts = (line + b"\n" for line in reversed(lines))
    file = files.store_result(session, job, f"{job.id}-votes.jsonl", parts)
    session.flush()
    return file


def _vote(comparison: Comparison) -> bytes | None:
    """A vote as a line of a file; None if the two sides were not asked the same, or one has no
    text.
    """
    sides = comparison.sides
    asked = votes.asked(comparison)
    if asked is None or not all(side.get("text") for side in sides):
        return None
    pair = {
        "messages": asked,
        "first": sides[0]["text"],
        "second": sides[1]["text"],
        "label": votes.OUTCOMES[Choice(comparison.choice)],
    }
    return orjson.dumps(pair)
