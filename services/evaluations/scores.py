"""What an evaluation's answers and judgments amount to: the results of its items, its scores,
counts and details.

Reads rows; the numbers are made by the pure functions of `evals`. The same rows give the same
scores. Nothing here imports the scoring when the module is imported: the API has no need of it.
"""

from dataclasses import dataclass
from typing import Any

from sqlalchemy.orm import Session

from models import Evaluation


@dataclass(frozen=True)
class Result:
    """What became of an item: `result` is what its suite found, `change` the model's minus the
    baseline's, from -1 to 1, None without both; `cut_off` if an answer ended at `max_tokens`.
    """

    place: int
    result: dict[str, Any] | None
    change: float | None
    cut_off: bool


@dataclass(frozen=True)
class Summary:
    """All that is written when an evaluation ends, in the shape of its record's columns."""

    results: list[Result]
    scores: list[dict[str, Any]]
    counts: dict[str, int]
    details: dict[str, Any]


def summarise(session: Session, evaluation: Evaluation, org_id: str) -> Summary:
    """Score an evaluation by the answers and judgments that its items name. Writes nothing.

    An item without an answer of a side is in no score of that side; a judgment without a value is
    counted as `unparsed`, one that is missing as `failed`. Takes seconds for 10,000 items.
    """
    raise NotImplementedError


def store(session: Session, evaluation: Evaluation, summary: Summary) -> None:
    """Write a summary: the items' results in one statement, and the evaluation's columns.

    `counts` and `details` are merged into what is there.
    """
    raise NotImplementedError
