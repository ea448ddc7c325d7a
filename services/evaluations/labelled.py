"""The labelled pairs of a judge's agreement with people: read, written as items, and compared with
the judge's verdicts.
"""

from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass
from typing import Any

import orjson
from sqlalchemy import func, insert, select
from sqlalchemy.orm import Session

from evals import agreement
from evals.judge_prompts import Message, as_text
from evals.verdicts import Verdict, outcome
from models import Evaluation, EvaluationItem, File, Job, Judge
from services.evaluations import answers, judgments
from services.evaluations.agreements import FORMS, MOST, Labels
from services.evaluations.scores import Result, Summary
from services.evaluations.suites import AGREEMENT
from services.platform import storage
from services.platform.errors import Invalid
from services.platform.storable import storable

READERS = {Labels.LLMBAR: agreement.llmbar, Labels.PANDALM: agreement.pandalm}


@dataclass(frozen=True)
class Labelled:
    """A pair of answers with what people say of the first: 1 better, 0.5 equal, 0 worse."""

    line: int
    messages: list[Message]
    first: str
    second: str
    label: float


def read(evaluation: Evaluation, file: File) -> list[Labelled]:
    """Return the pairs of the evaluation's file; rows without a label or an answer are left out.

    Raises Invalid if there is none, and FileNotFoundError.
    """
    labels = Labels(evaluation.options["labels"])
    key = file.storage_key if labels is Labels.VOTES else file.rows_key
    if key is None:
        raise FileNotFoundError(file.id)
    with storage.reading(key) as lines:
        rows = (_pair(labels, number, orjson.loads(line)) for number, line in enumerate(lines, 1))
        found = [pair for pair in rows if pair is not None]
    if not found:
        form = FORMS.get(labels, "a label")
        raise Invalid(f"The file has no labelled pair. Each row needs {form}.", param="data")
    return found


def _pair(labels: Labels, number: int, row: dict[str, Any]) -> Labelled | None:
    if labels is Labels.VOTES:
        return Labelled(number, row["messages"], row["first"], row["second"], row["label"])
    pair = READERS[labels](row.get("row") or {})
    if pair is None:
        return None
    said = [{"role": "user", "content": pair.prompt}]
    return Labelled(row["line"], said, storable(pair.first), storable(pair.second), pair.label)


def prepare(session: Session, evaluation_id: str, found: Sequence[Labelled]) -> None:
    """Write the items of the pairs that are drawn, and both answers of each, unless it was done."""
    evaluation = session.get_one(Evaluation, evaluation_id)
    if "prompts" in evaluation.counts:
        return
    pairs = [
        agreement.Pair(as_text(each.messages), each.first, each.second, each.label)
        for each in found
    ]
    chosen = [found[at] for at in agreement.draw(pairs, min(evaluation.limit or MOST, MOST))]
    given = {text: answers.given(text) for each in chosen for text in (each.first, each.second)}
    org_id = session.get_one(Job, evaluation_id).org_id
    answers.store(session, org_id, list(given.values()))
    session.execute(
        insert(EvaluationItem),
        [_item(evaluation_id, place, each) for place, each in enumerate(chosen)],
    )
    n_pairs = len(agreement.draw(pairs))
    evaluation.counts = {
        "of": n_pairs,
        "prompts": len(chosen),
        "answered": len(chosen),
        "repeated": len(pairs) - n_pairs,
    }


def _item(evaluation_id: str, place: int, pair: Labelled) -> dict[str, Any]:
    return {
        "evaluation_id": evaluation_id,
        "place": place,
        "line": pair.line,
        "category": None,
        "turns": storable([pair.messages]),
        "reference": {"label": pair.label},
        "answers": [answers.given(pair.first).key],
        "baseline_answers": [answers.given(pair.second).key],
        "judgments": [],
        "cut_off": False,
    }


def summarise(session: Session, evaluation: Evaluation, org_id: str) -> Summary:
    """Compare the judge's verdicts with the labels. Writes nothing.

    An item's change is 0 where judge and people agree, and -1 where they name different answers.
    """
    judge = session.get_one(Judge, evaluation.judge_id)
    items = session.scalars(
        select(EvaluationItem)
        .where(EvaluationItem.evaluation_id == evaluation.id)
        .order_by(EvaluationItem.place)
    ).all()
    keys = {key for item in items for key in item.judgments}
    values = judgments.values_of(session, org_id, keys)
    verdicts = {
        item.place: judgments.verdict(
            judgments.slots(evaluation, judge.kind, item), item.judgments, values
        )
        for item in items
        if item.judgments
    }
    labels = {item.place: float(item.reference["label"]) for item in items}
    found = agreement.with_labels(verdicts, labels)
    shares = {name: getattr(found, name) for name in AGREEMENT.metrics}
    wire = {name: asdict(share) if share else None for name, share in shares.items()}
    return Summary(
        results=[_result(place, label, verdicts.get(place)) for place, label in labels.items()],
        scores=[
            {"metric": name, "category": None, "model": wire[name], "baseline": None}
            | {"difference": None}
            for name in AGREEMENT.metrics
        ],
        counts={
            "judged": len(labels) - found.unparsed,
            "unparsed": sum(value is None for value in values.values()),
            "failed": sum(bool(item.failures) for item in items),
        },
        details={
            "agreement": wire
            | {
                "n": len(labels) - found.unparsed,
                "unparsed": found.unparsed,
                "worse_than_a_coin": found.is_worse_than_a_coin,
            },
        },
    )


def _result(place: int, label: float, verdict: Verdict | None) -> Result:
    named = outcome(verdict) if verdict is not None else None
    change = None if named is None else -abs(label - named)
    return Result(place, {"verdict": named, "label": label}, change, cut_off=False)


def store_with_judge(session: Session, evaluation: Evaluation, found: Mapping[str, Any]) -> None:
    """Store the agreement with the judge, in the place of an earlier one with such labels."""
    judge = session.get_one(Judge, evaluation.judge_id, with_for_update=True)
    now = session.scalars(select(func.clock_timestamp())).one()
    measured = {**found, "evaluation": evaluation.id, "measured_at": int(now.timestamp())}
    judge.agreement = {**judge.agreement, evaluation.options["labels"]: measured}
