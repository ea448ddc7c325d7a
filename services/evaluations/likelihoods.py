"""How likely models find the answers of a file's pairs: what is measured, under which key it is
stored, and which pairs could not be measured. Knows no engine and starts no process.

A likelihood is a judgment (`judgments.py`) whose value is the mean log-prob of a token of one
answer. Its key is a sha256 of the weights, the settings that decide the tokens, the precision, and
the pair.
"""

from collections import Counter
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from sqlalchemy import select
from sqlalchemy.orm import Session

from models import BaseModelRecord, Checkpoint, EvaluationItem, Job, Judgment
from orpo.contract.likelihoods import READING, Likelihood
from orpo.contract.methods import Orpo
from services.access.callers import Caller
from services.evaluations import written
from services.evaluations.judgments import AT_ONCE, Reply
from services.evaluations.suites import ANSWERS, SIDES, Side
from services.platform.errors import Conflict
from services.runs import checkpoints

DEFAULTS = Orpo.model_validate({}).model_dump(mode="json", include=set(READING))


@dataclass(frozen=True)
class Measured:
    """A model that is measured: its base, and of a tuned one its checkpoint and the job that made
    it. `identity` is what its likelihoods are stored under.
    """

    base: BaseModelRecord
    checkpoint: Checkpoint | None
    job: Job | None
    identity: dict[str, Any]

    @property
    def facts(self) -> dict[str, Any]:
        """What the evaluation's record shows of it."""
        return {
            "checkpoint": self.checkpoint.id if self.checkpoint else None,
            "weights_sha256": self.checkpoint.sha256
            if self.checkpoint
            else self.base.info.get("sha256"),
        }


def reading(session: Session, caller: Caller, models: Sequence[str]) -> dict[str, Any]:
    """Return how pairs are read for all of the models: as the run of the first tuned one does, and
    by the defaults of a run where none is tuned.
    """
    for model in models:
        if _base(session, caller, model) is None:
            method = checkpoints.resolve(session, caller, model)[1].method
            return {name: method.get(name, DEFAULTS[name]) for name in READING}
    return DEFAULTS


def find(session: Session, caller: Caller, model: str, evaluation_id: str) -> Measured:
    """Return what a model's name means now. Raises NotFound, and Conflict for damaged files.

    Without the hash of the base's weights, which an older release did not record, nothing is known
    to be the same: the likelihoods are then kept for this evaluation alone.
    """
    base, checkpoint, job = _base(session, caller, model), None, None
    if base is None:
        checkpoint, job = checkpoints.resolve(session, caller, model)
        if checkpoint.damaged_at is not None:
            raise Conflict(
                f"The files of '{model}' are damaged: evaluate another step.", param="model"
            )
        base = session.get_one(BaseModelRecord, job.base_model)
    identity = {
        "weights_sha256": checkpoint.sha256 if checkpoint else None,
        "base_sha256": base.info.get("sha256"),
        "tokenizer": _tokenizer(base),
    }
    if identity["base_sha256"] is None:
        identity["evaluation"] = evaluation_id
    return Measured(base, checkpoint, job, identity)


def _base(session: Session, caller: Caller, model: str) -> BaseModelRecord | None:
    base = session.get(BaseModelRecord, model)
    is_theirs = base is not None and base.org_id == caller.org_id and base.deleted_at is None
    return base if is_theirs else None


def _tokenizer(base: BaseModelRecord) -> dict[str, str]:
    """The hashes of a base's files beside its weights: tokenizer, chat template, configuration."""
    files: Mapping[str, Any] = base.info.get("files") or {}
    return {
        name: facts["sha256"] for name, facts in files.items() if not name.endswith(".safetensors")
    }


def keys(
    identity: Mapping[str, Any], reading: Mapping[str, Any], pair: Mapping[str, Any]
) -> list[str]:
    """Return the keys of the likelihoods of a pair's answers, the chosen one first."""
    return [
        written.sha256(identity=identity, reading=reading, pair=pair, answer=answer)
        for answer in ANSWERS
    ]


def replies(keys: Sequence[str], found: Likelihood) -> list[Reply]:
    """Return the judgments that are stored of a pair, one for each of its keys.

    Those of a pair that can't be measured have no value, and say why.
    """
    problem = found["problem"]
    text, code = (problem["message"], problem["code"]) if problem else ("", None)
    values = (found["chosen"], found["rejected"])
    return [Reply(key, text, value, code) for key, value in zip(keys, values, strict=True)]


@dataclass(frozen=True)
class LeftOut:
    """Why a side could not measure a pair: a reason of the core, and its sentence."""

    place: int
    line: int
    side: Side
    reason: str
    message: str


def left_out(session: Session, evaluation_id: str, org_id: str) -> list[LeftOut]:
    """Return the pairs of an evaluation that could not be measured, in the order of the file; one
    entry for each side.
    """
    items = session.execute(
        select(EvaluationItem.place, EvaluationItem.line, EvaluationItem.judgments)
        .where(EvaluationItem.evaluation_id == evaluation_id)
        .order_by(EvaluationItem.place)
    ).all()
    wanted = [key for item in items for key in item.judgments[:: len(ANSWERS)]]
    known = _problems(session, org_id, wanted)
    return [
        LeftOut(item.place, item.line, side, *known[key])
        for item in items
        for side, key in zip(SIDES, item.judgments[:: len(ANSWERS)], strict=False)
        if key in known
    ]


def _problems(session: Session, org_id: str, keys: Sequence[str]) -> dict[str, tuple[str, str]]:
    """Reason and sentence by those of the keys whose likelihoods have no value."""
    found = {}
    query = select(Judgment.key, Judgment.finish_reason, Judgment.text).where(
        Judgment.org_id == org_id, Judgment.value.is_(None)
    )
    for start in range(0, len(keys), AT_ONCE):
        rows = session.execute(query.where(Judgment.key.in_(keys[start : start + AT_ONCE])))
        found |= {row.key: (row.finish_reason or "", row.text) for row in rows}
    return found


def by_reason(found: Iterable[LeftOut]) -> list[dict[str, Any]]:
    """Return how many pairs are left out by reason, the most frequent first, with the line and the
    sentence of the first of them. A pair that both sides leave out counts once.
    """
    by_place: dict[int, LeftOut] = {}
    for each in found:
        by_place.setdefault(each.place, each)
    counts = Counter(each.reason for each in by_place.values())
    first: dict[str, dict[str, Any]] = {}
    for each in by_place.values():
        first.setdefault(each.reason, {"line": each.line, "message": each.message})
    return [
        {"reason": reason, "pairs": pairs, **first[reason]}
        for reason, pairs in counts.most_common()
    ]
