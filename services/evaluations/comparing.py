"""Several evaluations side by side: each metric with its interval, and the differences to the first
evaluation, paired by prompt.

A difference is computed only where it means something: over prompts that both evaluations asked,
and of values that were measured in the same way.
"""

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from sqlalchemy import Text, cast, func, select, text
from sqlalchemy.orm import Session

from evals import statistics
from evals.statistics import Estimate
from models import Evaluation, EvaluationItem
from models.jobs import JobState
from services.access.callers import Caller
from services.evaluations import evaluations
from services.evaluations.evaluations import EvaluationJob
from services.evaluations.suites import OF_ALL_PROMPTS, OVER_BASELINE, SUITES, Judging, Suite
from services.platform.errors import Conflict, Invalid, NotFound

# Each difference draws 2,000 samples of all prompts: 0.2 s for 10,000 prompts.
MOST = 10

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
class _Prompt:
    category: str | None
    result: dict[str, Any]


@dataclass(frozen=True)
class Compared:
    """What is compared of an evaluation. `prompts` are by what was asked; `unlike` are the metrics
    that were measured in another way than the first evaluation's, each with the reason.
    """

    id: str
    seed: int
    scores: list[dict[str, Any]]
    prompts: Mapping[str, _Prompt]
    unlike: Mapping[str, str]


def find(session: Session, caller: Caller, ids: Sequence[str]) -> list[EvaluationJob]:
    """Return evaluations of one suite that have succeeded, in the order of `ids`.

    Raises NotFound, Conflict or Invalid, with `param` ids.
    """
    found = [_get(session, caller, each) for each in _distinct(ids)]
    suites = list(dict.fromkeys(each.evaluation.suite for each in found))
    if len(suites) > 1:
        raise Invalid(
            f"These evaluations are of different suites ({', '.join(suites)}): their scores can't "
            "be compared. Name evaluations of one suite.",
            param="ids",
        )
    return found


def read(session: Session, found: Sequence[EvaluationJob]) -> list[Compared]:
    """Read what `rows` and `notes` need."""
    first = found[0].evaluation
    return [
        Compared(
            id=each.id,
            seed=each.job.seed,
            scores=each.evaluation.scores,
            prompts=_prompts(session, each.evaluation),
            unlike=_unlike(first, each.evaluation),
        )
        for each in found
    ]


def rows(compared: Sequence[Compared]) -> list[Row]:
    """Return the metrics of all evaluations. Takes seconds for many prompts."""
    return [
        Row(metric, category, _cells(compared, metric, category))
        for metric, category in _metrics(compared)
    ]


def notes(compared: Sequence[Compared]) -> list[Note]:
    """Return sentences on what could not be compared with the first evaluation."""
    first, *others = compared
    return [note for other in others for note in _notes(first, other)]


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
    """The scored items by what was asked: the messages, and what the answer is checked against.

    Those whose prompts were erased, with their file, are left out: nothing tells them apart.
    """
    asked = func.md5(
        func.concat(cast(EvaluationItem.turns, Text), cast(EvaluationItem.reference, Text))
    )
    query = select(asked, EvaluationItem.category, EvaluationItem.result).where(
        EvaluationItem.evaluation_id == evaluation.id,
        EvaluationItem.result.is_not(None),
        EvaluationItem.turns != text("'[]'"),
    )
    return {
        key: _Prompt(category, result or {}) for key, category, result in session.execute(query)
    }


def _metrics(compared: Sequence[Compared]) -> list[tuple[str, str | None]]:
    """Metrics and categories in the order of the evaluations' scores, each once."""
    named = [(score["metric"], score["category"]) for each in compared for score in each.scores]
    return list(dict.fromkeys(named))


def _cells(compared: Sequence[Compared], metric: str, category: str | None) -> list[Cell]:
    first, *others = compared
    base = _values(first.prompts, metric, category)
    cells = [Cell(first.id, _score(first, metric, category), None)]
    for each in others:
        difference = None
        if metric not in each.unlike:
            theirs = _values(each.prompts, metric, category)
            difference = statistics.difference(theirs, base, first.seed)
        cells.append(Cell(each.id, _score(each, metric, category), difference))
    return cells


def _score(found: Compared, metric: str, category: str | None) -> Estimate | None:
    for score in found.scores:
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
    suite = SUITES.get(first.suite)
    if suite is None:
        return {}
    metrics = suite.metrics
    if suite.reads_pairs:
        why = "it has read the pairs with other settings (of its model's run)"
        return dict.fromkeys(metrics, why) if first.options != other.options else {}
    if why := _other_measure(suite, first, other):
        return dict.fromkeys(metrics, why)
    if _identity(first.baseline) != _identity(other.baseline):
        over = [metric for metric in metrics if metric in OVER_BASELINE]
        return dict.fromkeys(over, "its baseline is another model")
    return {}


def _other_measure(suite: Suite, first: Evaluation, other: Evaluation) -> str | None:
    """Why the numbers of all metrics differ in what they measure; None if they don't."""
    if first.judge_id != other.judge_id:
        return "it was judged by another judge"
    if _embedder(first) != _embedder(other):
        return "its answers were turned into vectors by another model"
    is_of_pairs = suite.judging is Judging.PAIRS
    if _judging(first) != _judging(other) or (is_of_pairs and first.orders != other.orders):
        return "it was judged with another judge's prompt or number of orders"
    return None


def _embedder(evaluation: Evaluation) -> str | None:
    return evaluation.details.get("diversity", {}).get("embedder_sha256")


def _judging(evaluation: Evaluation) -> dict[str, Any]:
    """The options that decide on verdicts. The number of samples changes how sure a similarity is,
    not what it is on average.
    """
    return {name: value for name, value in evaluation.options.items() if name != "samples"}


def _identity(side: dict[str, Any] | None) -> Any:
    """What tells two baselines apart: weights and template, or an endpoint's address and model."""
    if side is None:
        return None
    names = ("base_url", "weights_sha256", "template_sha256")
    known = tuple(side.get(name) for name in names)
    return known if side.get("weights_sha256") else (*known, side["model"])


def _notes(first: Compared, other: Compared) -> Iterator[Note]:
    for why in dict.fromkeys(other.unlike.values()):
        metrics = ", ".join(metric for metric, reason in other.unlike.items() if reason == why)
        yield Note(other.id, f"No difference in {metrics}: {why} than the first evaluation's.")
    if joint := sorted({score["metric"] for score in other.scores} & OF_ALL_PROMPTS):
        yield Note(
            other.id,
            f"No difference in {', '.join(joint)}: it is measured over all prompts together. Name "
            "the other model as the baseline of an evaluation.",
        )
    shared = len(first.prompts.keys() & other.prompts.keys())
    if not shared:
        yield Note(
            other.id,
            "No difference: it shares no prompt with the first evaluation, or the prompts were "
            "erased with their file.",
        )
    elif shared < max(len(first.prompts), len(other.prompts)):
        yield Note(
            other.id,
            f"Its differences are over the {shared} prompts that it shares with the first "
            f"evaluation, of {len(other.prompts)} and {len(first.prompts)}.",
        )
