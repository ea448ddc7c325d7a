"""Judges: create, list, delete, and what identifies one.

A judge is an endpoint of another service, a deployed model of ours, or a reward model of ours. What
it says is stored under what it is (weights, or address, model and sampling), never under its name.
"""

from collections.abc import Iterator
from dataclasses import dataclass, field
from enum import StrEnum
from typing import Any

from sqlalchemy import func, select
from sqlalchemy.orm import Session

from models import BaseModelRecord, Checkpoint, Evaluation, Job, Judge
from models.base import new_id
from orpo.contract.methods import is_judge
from services.access import audit_log
from services.access.audit_log import Action, Object
from services.access.callers import Caller
from services.evaluations import endpoints
from services.jobs.states import ENDED
from services.platform.errors import Conflict, Invalid, no_such
from services.platform.pages import paginate
from services.runs import checkpoints

# A verdict with its reasons fits; a judge that thinks at length needs more.
SAMPLING: dict[str, Any] = {"temperature": 0.0, "max_tokens": 1024}


class Kind(StrEnum):
    OPENAI = "openai"
    DEPLOYMENT = "deployment"
    REWARD = "reward"


@dataclass(frozen=True)
class NewJudge:
    """A request to create a judge, as the API received it."""

    kind: Kind
    model: str
    name: str | None = None
    base_url: str | None = None
    secret: str | None = None
    sampling: dict[str, Any] = field(default_factory=dict)


def create(session: Session, caller: Caller, request: NewJudge) -> Judge:
    """Create a judge. Raises Invalid with `param`, and NotFound for a model that isn't there."""
    base_url = request.base_url
    if request.kind is Kind.OPENAI:
        if base_url is None:
            raise Invalid(
                "A judge of the kind `openai` needs a base_url, such as https://host/v1.",
                param="base_url",
            )
        base_url = endpoints.check(caller.org_id, base_url, request.secret)
    else:
        _refuse_endpoint(request)
        _check_model(session, caller, request)
    judge = Judge(
        id=new_id("judge"),
        org_id=caller.org_id,
        api_key_id=caller.api_key_id,
        name=request.name or request.model,
        kind=request.kind,
        model=request.model,
        base_url=base_url,
        secret=request.secret,
        sampling={} if request.kind is Kind.REWARD else {**SAMPLING, **request.sampling},
        agreement={},
    )
    session.add(judge)
    session.flush()
    facts = {"judge_kind": request.kind, "model": request.model, "base_url": base_url}
    audit_log.record(session, caller, Action.CREATED, Object.JUDGE, judge.id, **facts)
    return judge


def _refuse_endpoint(request: NewJudge) -> None:
    for name in ("base_url", "secret"):
        if getattr(request, name) is not None:
            raise Invalid(
                f"A judge of the kind `{request.kind}` is a model of this installation and has no "
                f"{name}. Leave it out, or use the kind `openai`.",
                param=name,
            )
    if request.kind is Kind.REWARD and request.sampling:
        raise Invalid(
            "A reward model writes no text, so it has no sampling. Leave it out.", param="sampling"
        )


def _check_model(session: Session, caller: Caller, request: NewJudge) -> None:
    is_reward = _is_reward_model(session, caller, request.model)
    if request.kind is Kind.REWARD and not is_reward:
        raise Invalid(
            f"'{request.model}' is no reward model. Train one with the method `reward`, or use "
            "this model as a judge of the kind `deployment`.",
            param="model",
        )
    if request.kind is Kind.DEPLOYMENT and is_reward:
        raise Invalid(
            f"'{request.model}' is a reward model, which writes no text. Use the kind `reward`.",
            param="model",
        )


def _is_reward_model(session: Session, caller: Caller, model: str) -> bool:
    """Raises NotFound with `param` model if the caller has no such model."""
    base = session.get(BaseModelRecord, model)
    if base is not None and base.org_id == caller.org_id and base.deleted_at is None:
        return False
    return is_judge(checkpoints.resolve(session, caller, model)[1].method["type"])


def get(session: Session, caller: Caller, judge_id: str, *, param: str = "judge_id") -> Judge:
    """Return the caller's judge, or raise NotFound."""
    judge = session.get(Judge, judge_id)
    if judge is None or judge.org_id != caller.org_id or judge.deleted_at is not None:
        raise no_such("judge", judge_id, param, "GET /v1/judges")
    return judge


def list_page(
    session: Session, caller: Caller, *, after: str | None = None, limit: int = 20
) -> Iterator[Judge]:
    """Yield the caller's judges, newest first, and one beyond the limit."""
    query = select(Judge).where(Judge.org_id == caller.org_id, Judge.deleted_at.is_(None))
    return paginate(session, query, Judge.created_at, Judge.id, after=after, limit=limit)


def delete(session: Session, caller: Caller, judge_id: str) -> None:
    """Delete a judge; evaluations that it judged keep what it said and show what it was.

    Raises Conflict while an evaluation that has not ended needs it.
    """
    judge = get(session, caller, judge_id)
    session.refresh(judge, with_for_update=True)
    needed_by = session.scalar(
        select(Evaluation.id)
        .join(Job, Job.id == Evaluation.id)
        .where(Evaluation.judge_id == judge_id, Job.state.not_in(ENDED))
        .limit(1)
    )
    if needed_by is not None:
        raise Conflict(
            f"The evaluation `{needed_by}` needs this judge. Wait until it has ended, or cancel it "
            "first.",
            param="judge_id",
            code="judge_in_use",
        )
    judge.deleted_at = func.clock_timestamp()
    audit_log.record(session, caller, Action.DELETED, Object.JUDGE, judge_id)
    session.flush()


def reward_model(session: Session, caller: Caller, judge: Judge) -> tuple[Checkpoint, Job]:
    """Return the checkpoint of a judge of the kind `reward`, and the job that trained it.

    Raises NotFound if it was deleted, and Conflict if its files are damaged.
    """
    checkpoint, job = checkpoints.resolve(session, caller, judge.model)
    if checkpoint.damaged_at is not None:
        raise Conflict(
            f"The files of the reward model '{judge.model}' are damaged. Create a judge of another "
            "step of its job.",
            param="judge",
        )
    return checkpoint, job


def reward_weights(session: Session, checkpoint: Checkpoint, job: Job) -> dict[str, Any]:
    """Return what identifies a reward model's weights: those of the checkpoint, and of its base."""
    base = session.get_one(BaseModelRecord, job.base_model)
    return {"weights_sha256": checkpoint.sha256, "base_sha256": base.info.get("sha256")}


def identity(judge: Judge, weights: dict[str, Any] | None = None) -> dict[str, Any]:
    """Return what a judge's replies are stored under: the same for any judge that says the same.

    `weights` says what a model of ours is now: hashes of weights and template, and the engine's
    version. An endpoint has none; it is known by its address and its model's name there.
    """
    if judge.kind == Kind.OPENAI:
        return {"base_url": judge.base_url, "model": judge.model, "sampling": judge.sampling}
    if weights is None:
        raise ValueError("A model of this installation is identified by its weights.")
    return {"weights": weights, "sampling": judge.sampling}
