"""Several evaluations side by side: each metric with its interval, and the differences to the first
evaluation, paired by prompt.

A difference is computed only where it means something: over prompts that both evaluations asked,
and of values that were measured in the same way.
"""

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from sqlalchemy import Text, cast, func, select
from sqlalchemy.orm import Session

from evals import statistics
from evals.statistics import Estimate
from models import Evaluation, EvaluationItem
from models.jobs import JobState
from services.access.callers import Caller
from services.evaluations import evaluations
from services.evaluations.evaluations import EvaluationJob
from services.evaluations.suites import SUITES
from services.platform.errors import Conflict, Invalid, NotFound

# Each difference draws 2,000 samples of all prompts: 0.2 s for 10,000 prompts.
MOST = 10
# Metrics that say how often the model's answer is preferred to the baseline's.
OVER_BASELINE = frozenset({"win_rate", "win_rate_length_controlled"})

# By prompt: the values of a metric.
Values = dict[str, list[float]]


@dataclass(frozen=True)
class Cell:
    """A metric of one evaluation. `difference` is its value minus the first evaluation's."""

    evaluation_id: str
    value: Estimate | None
    difference: Estimate | None


@dataclass(frozen=True)
class Row:
    """A metric of all prompts, or of those of a category, in the order of the evaluations."""

    metric: str
    category: str | None
    cells: list[Cell]


@dataclass(frozen=True)
class Note:
    """Why an evaluation has no difference in some metric, or fewer prompts in it."""

    evaluation_id: str
    message: str


@dataclass(frozen=True)
class Comparison:
    """Evaluations of one suite, in the order of the request."""

    suite: str
    evaluations: list[EvaluationJob]
    rows: list[Row]
    notes: list[Note]


@dataclass(frozen=True)
class _Prompt:
    category: str | None
    result: dict[str, Any]


def compare(session: Session, caller: Caller, ids: Sequence[str]) -> Comparison:
    """Compare evaluations that have succeeded; raises NotFound, Conflict or Invalid for `ids`."""
    found = [_get(session, caller, each) for each in _distinct(ids)]
    suites = list(dict.fromkeys(each.evaluation.suite for each in found))
    if len(suites) > 1:
        raise Invalid(
            f"These evaluations are of different suites ({', '.join(suites)}): their scores can't "
            "be compared. Name evaluations of one suite.",
            param="ids",
        )
    prompts = [_prompts(session, each.evaluation) for each in found]
    first = found[0]
    unlike = [_unlike(first.evaluation, each.evaluation) for each in found]
    rows = [
        Row(metric, category, _cells(found, prompts, unlike, metric, category))
        for metric, category in _metrics(found)
    ]
    notes = [
        note
        for each, theirs, why in zip(found[1:], prompts[1:], unlike[1:], strict=True)
        for note in _notes(each, prompts[0], theirs, why)
    ]
    return Comparison(suites[0], found, rows, notes)


def _distinct(ids: Sequence[str]) -> list[str]:
    known = list(dict.fromkeys(filter(None, (each.strip() for each in ids))))
    if not 2 <= len(known) <= MOST:
        raise Invalid(
            f"Name 2 to {MOST} different evaluations, separated by commas, not {len(known)}.",
            param="ids",
        )
    return known


def _get(session: Session, caller: Caller, evaluation_id: str) -> EvaluationJob:
    try:
        found = evaluations.get(session, caller, evaluation_id)
    except NotFound as error:
        error.param = "ids"
        raise
    if found.job.state != JobState.SUCCEEDED:
        raise Conflict(
            f"The evaluation `{evaluation_id}` has no scores ({found.job.state}). Wait until it "
            "has succeeded, or leave it out.",
            param="ids",
            code="evaluation_not_ready",
        )
    return found


def _prompts(session: Session, evaluation: Evaluation) -> dict[str, _Prompt]:
    """The scored items by what was asked: the messages, and what the answer is checked against."""
    asked = func.md5(
        func.concat(cast(EvaluationItem.turns, Text), cast(EvaluationItem.reference, Text))
    )
    query = select(asked, EvaluationItem.category, EvaluationItem.result).where(
        EvaluationItem.evaluation_id == evaluation.id, EvaluationItem.result.is_not(None)
    )
    return {
        key: _Prompt(category, result or {}) for key, category, result in session.execute(query)
    }


def _metrics(found: Sequence[EvaluationJob]) -> list[tuple[str, str | None]]:
    """Metrics and categories in the order of the evaluations' scores, each once."""
    named = [(score["metric"], score["category"]) for e in found for score in e.evaluation.scores]
    return list(dict.fromkeys(named))


def _cells(
    found: Sequence[EvaluationJob],
    prompts: Sequence[Mapping[str, _Prompt]],
    unlike: Sequence[Mapping[str, str]],
    metric: str,
    category: str | None,
) -> list[Cell]:
    first = _values(prompts[0], metric, category)
    cells = []
    for place, each in enumerate(found):
        difference = None
        if place and metric not in unlike[place]:
            theirs = _values(prompts[place], metric, category)
            difference = statistics.difference(theirs, first, found[0].job.seed)
        cells.append(Cell(each.id, _score(each, metric, category), difference))
    return cells


def _score(found: EvaluationJob, metric: str, category: str | None) -> Estimate | None:
    for score in found.evaluation.scores:
        if (score["metric"], score["category"]) == (metric, category) and score["model"]:
            return Estimate(**score["model"])
    return None


def _values(prompts: Mapping[str, _Prompt], metric: str, category: str | None) -> Values:
    return {
        key: _of_result(prompt.result, metric)
        for key, prompt in prompts.items()
        if category is None or prompt.category == category
    }


def _of_result(result: Mapping[str, Any], metric: str) -> list[float]:
    """The values of a metric of one prompt; a metric without values by prompt has none."""
    kind, _, reading = metric.partition("_")
    if reading in ("strict", "loose"):
        followed = result.get(reading) or []
        return [float(all(followed))] if kind == "prompt" else list(map(float, followed))
    value = result.get(metric)
    return [] if value is None else [float(value)]


def _unlike(first: Evaluation, other: Evaluation) -> dict[str, str]:
    """The metrics that two evaluations have measured in different ways, each with the reason."""
    metrics = SUITES[first.suite].metrics if first.suite in SUITES else ()
    same_judge = first.judge_id == other.judge_id
    same_way = (first.orders, first.options) == (other.orders, other.options)
    if not (same_judge and same_way):
        what = "another judge" if not same_judge else "another judge's prompt or number of orders"
        return dict.fromkeys(metrics, f"it was judged by {what}")
    if _identity(first.baseline) != _identity(other.baseline):
        over = [metric for metric in metrics if metric in OVER_BASELINE]
        return dict.fromkeys(over, "its baseline is another model")
    return {}


def _identity(side: dict[str, Any] | None) -> Any:
    """What tells two baselines apart: weights and template, or an endpoint's address and model."""
    if side is None:
        return None
    names = ("base_url", "weights_sha256", "template_sha256")
    known = tuple(side.get(name) for name in names)
    return known if side.get("weights_sha256") else (*known, side["model"])


def _notes(
    found: EvaluationJob,
    first: Mapping[str, _Prompt],
    theirs: Mapping[str, _Prompt],
    unlike: Mapping[str, str],
) -> Iterator[Note]:
    """Sentences on what could not be compared with the first evaluation."""
    for why in dict.fromkeys(unlike.values()):
        metrics = ", ".join(metric for metric, reason in unlike.items() if reason == why)
        yield Note(found.id, f"No difference in {metrics}: {why} than the first evaluation's.")
    shared = len(first.keys() & theirs.keys())
    if not shared:
        yield Note(found.id, "No difference: it shares no prompt with the first evaluation.")
    elif shared < max(len(first), len(theirs)):
        yield Note(
            found.id,
            f"Its differences are over the {shared} prompts that it shares with the first "
            f"evaluation, of {len(theirs)} and {len(first)}.",
        )
