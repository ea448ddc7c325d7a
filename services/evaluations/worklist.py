"""The items of an evaluation as its worker needs them: laid out once, then marked as they are
answered and judged. Each function is one step in the worker's fenced transaction.
"""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any, cast

from sqlalchemy import Table, bindparam, insert, select, update
from sqlalchemy.dialects.postgresql import JSONB
from sqlalchemy.orm import Session

from models import Evaluation, EvaluationItem
from services.evaluations import answers
from services.evaluations.prompts import Drawn
from services.evaluations.suites import SUITES, Side

TABLE = cast("Table", EvaluationItem.__table__)
COLUMNS: dict[Side, str] = {"model": "answers", "baseline": "baseline_answers"}
JUDGE = "judge"


@dataclass
class Item:
    """One prompt. `turns` are the messages of each user turn; `keys` those of the answers that it
    has, one for each turn, by side. `failures` are sentences by side, or by `JUDGE`.
    """

    place: int
    category: str | None
    turns: list[list[dict[str, Any]]]
    keys: dict[Side, list[str]]
    failures: dict[str, str] = field(default_factory=dict)


@dataclass(frozen=True)
class Change:
    """What became of an item: the keys of a side's answers, or why it has none."""

    place: int
    side: Side
    keys: list[str]
    failure: str | None = None


def is_laid_out(evaluation: Evaluation) -> bool:
    """Whether its prompts were drawn, by this claim or an earlier one."""
    return "prompts" in evaluation.counts


def lay_out(session: Session, evaluation: Evaluation, org_id: str, drawn: Drawn) -> None:
    """Store the items that were drawn, with the answers that the file gives for the baseline."""
    outputs = SUITES[evaluation.suite].outputs
    rows = [{**item, "evaluation_id": evaluation.id} for item in drawn.items]
    if outputs is not None and evaluation.baseline is None:
        given = [answers.given(str(row["reference"].get(outputs) or "")) for row in rows]
        answers.store(session, org_id, given)
        for row, answer in zip(rows, given, strict=True):
            row["baseline_answers"] = [answer.key]
    session.execute(insert(EvaluationItem), rows)
    evaluation.counts = {**evaluation.counts, **drawn.counts}


def load(session: Session, evaluation_id: str) -> list[Item]:
    """Return all items in the order of their places."""
    query = select(TABLE).where(TABLE.c.evaluation_id == evaluation_id).order_by(TABLE.c.place)
    return [
        Item(
            place=row.place,
            category=row.category,
            turns=row.turns,
            keys={side: list(getattr(row, column)) for side, column in COLUMNS.items()},
            failures=dict(row.failures),
        )
        for row in session.execute(query)
    ]


def note_answers(session: Session, evaluation_id: str, changes: Sequence[Change]) -> None:
    """Mark which answers items have, and why others have none."""
    for side, column in COLUMNS.items():
        rows = [
            {"at": change.place, "keys": change.keys} for change in changes if change.side == side
        ]
        if rows:
            statement = _of_place(evaluation_id).values({column: bindparam("keys", type_=JSONB)})
            session.connection().execute(statement, rows)
    failed = {(change.place, change.side): change.failure for change in changes if change.failure}
    note_failures(session, evaluation_id, failed)


def note_judgments(session: Session, evaluation_id: str, keys: Mapping[int, list[str]]) -> None:
    """Store which judgments items have: their keys by place."""
    if keys:
        statement = _of_place(evaluation_id).values(judgments=bindparam("keys", type_=JSONB))
        rows = [{"at": place, "keys": of_item} for place, of_item in keys.items()]
        session.connection().execute(statement, rows)


def note_failures(
    session: Session, evaluation_id: str, failed: Mapping[tuple[int, str], str]
) -> None:
    """Store why items have no answer or judgment: sentences by place and side (or `JUDGE`)."""
    if failed:
        added = TABLE.c.failures.concat(bindparam("why", type_=JSONB))
        rows = [{"at": place, "why": {of: why}} for (place, of), why in failed.items()]
        session.connection().execute(_of_place(evaluation_id).values(failures=added), rows)


def _of_place(evaluation_id: str) -> Any:
    return update(TABLE).where(
        TABLE.c.evaluation_id == evaluation_id, TABLE.c.place == bindparam("at")
    )
