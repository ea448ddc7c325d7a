"""The reward model that a job names: a checkpoint of a job whose method is `reward`.

Knows rows; the core compares the tokenizers themselves.
"""

from sqlalchemy import or_, select
from sqlalchemy.orm import Session

from models import BaseModelRecord, Checkpoint, Job
from orpo.contract.methods import Method
from orpo.contract.on_policy import OnPolicy
from services.access.callers import Caller
from services.jobs.states import ENDED
from services.platform.errors import Invalid

REWARD = "reward"
TOKENIZER = "tokenizer.json"


def find(session: Session, org_id: str, name: str) -> tuple[Checkpoint, Job] | None:
    """Return the checkpoint that a tuned model's name means, of any method: a job's result, or one
    of its steps. Others can't delete it until the transaction ends.
    """
    found = session.execute(
        select(Checkpoint, Job)
        .join(Job, Job.id == Checkpoint.job_id)
        .where(
            Job.org_id == org_id,
            Job.deleted_at.is_(None),
            Checkpoint.deleted_at.is_(None),
            Checkpoint.damaged_at.is_(None),
            or_(Job.fine_tuned_model == name, Checkpoint.model == name),
        )
        .order_by(Checkpoint.step.desc())
        .limit(1)
        .with_for_update(read=True, of=Checkpoint)
    ).first()
    return None if found is None else (found[0], found[1])


def check(session: Session, caller: Caller, method: Method, base_model: str) -> None:
    """Raise Invalid, naming the field, if the method needs a reward model and names none that can
    score answers of the base.
    """
    if not isinstance(method, OnPolicy):
        return
    param, name = f"method.{method.type}.hyperparameters.reward_model", method.reward_model
    found = find(session, caller.org_id, name)
    if found is None:
        raise Invalid(
            f"There is no tuned model '{name}': train one with the method '{REWARD}', and name it "
            "as its job's fine_tuned_model does.",
            param=param,
            code="model_not_found",
        )
    kind = found[1].method["type"]
    if kind != REWARD:
        raise Invalid(
            f"'{name}' was trained with the method '{kind}' and writes text; reward_model names a "
            f"model that the method '{REWARD}' has trained.",
            param=param,
        )
    if _tokenizers_differ(session, found[1].base_model, base_model):
        raise Invalid(
            f"'{name}' is based on '{found[1].base_model}', whose tokenizer is not that of "
            f"'{base_model}': choose a reward model that was trained on '{base_model}'.",
            param=param,
        )


def _tokenizers_differ(session: Session, one: str, other: str) -> bool:
    """Whether two bases are known to have different tokenizers."""
    if one == other:
        return False
    hashes = {_tokenizer_sha256(session, name) for name in (one, other)}
    return None not in hashes and len(hashes) > 1


def _tokenizer_sha256(session: Session, base_model: str) -> str | None:
    record = session.get(BaseModelRecord, base_model)
    files = (record.info.get("files") if record else None) or {}
    return files.get(TOKENIZER, {}).get("sha256")


def job_that_needs(session: Session, org_id: str, names: list[str]) -> str | None:
    """Return the id of an organisation's job that has not ended and names one of these models, or
    None.
    """
    return session.scalar(
        select(Job.id)
        .where(
            Job.org_id == org_id,
            Job.method["reward_model"].astext.in_(names),
            Job.state.not_in(ENDED),
            Job.deleted_at.is_(None),
        )
        .limit(1)
    )
