"""The items of an evaluation with their texts: each prompt, the answers, the judgments."""

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from enum import StrEnum
from typing import Any, Literal

from sqlalchemy import and_, or_, select
from sqlalchemy.orm import Session

from models import Answer, Evaluation, EvaluationItem, Judge, Judgment
from services.access.callers import Caller
from services.evaluations import judgments
from services.evaluations.suites import Side, Slot
from services.platform.pages import unknown

# Items that are read at once, with all their texts.
AT_ONCE = 25

Order = Literal["model_first", "baseline_first"]


class Filter(StrEnum):
    """Which items are listed."""

    REGRESSED = "regressed"
    IMPROVED = "improved"
    TIED = "tied"
    CUT_OFF = "cut_off"


CONDITIONS = {
    Filter.REGRESSED: EvaluationItem.change < 0,
    Filter.IMPROVED: EvaluationItem.change > 0,
    Filter.TIED: EvaluationItem.change == 0,
    Filter.CUT_OFF: EvaluationItem.cut_off,
}


@dataclass(frozen=True)
class Judged:
    """A judgment on a turn. `order` says which of two answers was shown first; where one answer is
    rated, `side` says whose it is.
    """

    judgment: Judgment
    turn: int
    order: Order | None
    side: Side | None


@dataclass(frozen=True)
class Item:
    """An item with its texts. An answer that is not there yet is None."""

    record: EvaluationItem
    answers: list[Answer | None]
    baseline_answers: list[Answer | None]
    judgments: list[Judged]


def list_page(
    session: Session,
    caller: Caller,
    evaluation: Evaluation,
    *,
    chosen: Filter | None = None,
    category: str | None = None,
    after: str | None = None,
    limit: int = 20,
) -> Iterator[Item]:
    """Yield items by their change, those that got worse first, and one beyond the limit.

    Items without a change come last. `after` is the place of an item, as text; raises Invalid if
    there is no such item.
    """
    query = select(EvaluationItem).where(EvaluationItem.evaluation_id == evaluation.id)
    if chosen is not None:
        query = query.where(CONDITIONS[chosen])
    if category is not None:
        query = query.where(EvaluationItem.category == category)
    query = query.order_by(EvaluationItem.change.asc().nulls_last(), EvaluationItem.place)
    last = None if after is None else _find(session, evaluation, after)
    left = limit + 1
    while left > 0:
        wanted = min(left, AT_ONCE)
        following = query if last is None else query.where(_comes_after(last))
        found = session.scalars(following.limit(wanted)).all()
        yield from with_texts(session, caller.org_id, evaluation, found)
        if len(found) < wanted:
            return
        left -= wanted
        last = found[-1]


def _find(session: Session, evaluation: Evaluation, item_id: str) -> EvaluationItem:
    is_place = item_id.isascii() and item_id.isdigit() and len(item_id) < 19
    place = int(item_id) if is_place else -1
    found = session.get(EvaluationItem, (evaluation.id, place)) if is_place else None
    if found is None:
        raise unknown(item_id)
    return found


def _comes_after(last: EvaluationItem) -> Any:
    behind = EvaluationItem.place > last.place
    if last.change is None:
        return and_(EvaluationItem.change.is_(None), behind)
    return or_(
        EvaluationItem.change > last.change,
        and_(EvaluationItem.change == last.change, behind),
        EvaluationItem.change.is_(None),
    )


def with_texts(
    session: Session, org_id: str, evaluation: Evaluation, found: Sequence[EvaluationItem]
) -> Iterator[Item]:
    """Yield items with their answers and judgments, which are read together."""
    answer_keys = {key for item in found for key in (*item.answers, *item.baseline_answers)}
    of_answers = select(Answer).where(Answer.org_id == org_id, Answer.key.in_(answer_keys))
    answers = {answer.key: answer for answer in session.scalars(of_answers)}
    keys = {key for item in found for key in item.judgments}
    of_judgments = select(Judgment).where(Judgment.org_id == org_id, Judgment.key.in_(keys))
    replies = {judgment.key: judgment for judgment in session.scalars(of_judgments)}
    judge = session.get(Judge, evaluation.judge_id) if evaluation.judge_id else None
    for item in found:
        slots = judgments.slots(evaluation, judge.kind, item) if judge else []
        yield Item(
            record=item,
            answers=[answers.get(key) for key in item.answers],
            baseline_answers=[answers.get(key) for key in item.baseline_answers],
            judgments=[
                _judged(replies[key], slot)
                for key, slot in zip(item.judgments, slots, strict=False)
                if key in replies
            ],
        )


def _judged(judgment: Judgment, slot: Slot) -> Judged:
    first = slot.shown[0]
    if len(slot.shown) == 1:
        return Judged(judgment, slot.turn, order=None, side=first)
    order: Order = "model_first" if first == "model" else "baseline_first"
    return Judged(judgment, slot.turn, order=order, side=None)
