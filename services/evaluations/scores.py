"""What an evaluation's answers and judgments amount to: the results of its items, its scores,
counts and details.

Reads and writes rows; `measures.py` knows what is measured of an item, and the pure functions of
`evals` make the numbers. The same rows give the same scores.
"""

from collections.abc import Collection, Iterator, Mapping, Sequence
from dataclasses import asdict, dataclass
from itertools import chain
from typing import Any, cast

from sqlalchemy import Table, bindparam, func, select, update
from sqlalchemy.dialects.postgresql import JSONB
from sqlalchemy.orm import Session

from evals import diversity, length_control, rewards, table, verdicts
from evals.statistics import Estimate
from evals.table import Score
from models import Answer, Evaluation, EvaluationItem, Judge
from orpo.rows.thoughts import spoken
from services.evaluations import judgments, likelihoods, measures, similarity
from services.evaluations.answers import asked
from services.evaluations.measures import Found, Judged, Seen
from services.evaluations.similarity import Vectors
from services.evaluations.suites import LENGTH_CONTROLLED, SUITES, Judging, Side, Suite

ITEMS_AT_ONCE = 500  # of which the texts are in memory
CUT_OFF = "length"
RANDOM = "random officially"  # the category of IFEval's prompts whose letter is drawn officially
KINDS = ("instruction_strict", "instruction_loose")
TABLE = cast("Table", EvaluationItem.__table__)
# How alike the samples of each side are.
Alike = Mapping[Side, diversity.Side]


@dataclass(frozen=True)
class Result:
    """What became of an item: `result` is what its suite found, `change` the model's minus the
    baseline's, None without both; `cut_off` if an answer ended at `max_tokens`.
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


@dataclass(frozen=True)
class _Item:
    """What is kept of an item: not its texts."""

    place: int
    category: str | None
    found: Found
    cut_off: bool
    # The characters of both last answers.
    lengths: tuple[int, int] | None
    is_answered: bool
    # Of its judgments: how many there are, have no value, are missing though there are answers.
    n_judged: int
    unparsed: int
    failed: int


def summarise(
    session: Session, evaluation: Evaluation, org_id: str, vectors: Vectors | None = None
) -> Summary:
    """Score an evaluation by the answers and judgments that its items name. Writes nothing.

    `vectors` are those of the samples, where the suite takes several answers to a prompt.
    An item without an answer of a side is in no score of that side; a judgment without a value is
    counted as `unparsed`, an answer or a judgment that is missing as `failed`. Takes seconds for
    10,000 items.
    """
    suite = SUITES[evaluation.suite]
    judge = session.get(Judge, evaluation.judge_id) if evaluation.judge_id else None
    kind = judge.kind if judge else None
    is_scored = suite.is_scored(has_judge=judge is not None)
    alike: Alike = {}
    if vectors is not None:
        alike = similarity.sides(similarity.samples(session, evaluation), vectors)
    items = [
        item
        for chunk in _chunks(session, evaluation.id)
        for item in _read(session, evaluation, org_id, kind, alike, chunk)
    ]
    details = _details(suite, evaluation.orders, items) if is_scored else {}
    if suite.reads_pairs:
        left_out = likelihoods.left_out(session, evaluation.id, org_id)
        details["excluded"] = likelihoods.by_reason(left_out) or None
    if vectors is not None:
        details["diversity"] = vectors.details()
    return Summary(
        [Result(i.place, i.found.result, i.found.change, i.cut_off) for i in items],
        [_as_json(score) for score in _scores(suite, items, details, alike)] if is_scored else [],
        _counts(suite, items),
        {name: found for name, found in details.items() if found is not None},
    )


def store(session: Session, evaluation: Evaluation, summary: Summary) -> None:
    """Write a summary: the items' results in one statement, and the evaluation's columns.

    `counts` and `details` are merged into what is there.
    """
    if summary.results:
        sent = [asdict(each) for each in summary.results]
        session.connection().execute(_UPDATE, {"results": sent, "of": evaluation.id})
    evaluation.scores = summary.scores
    evaluation.counts = {**evaluation.counts, **summary.counts}
    evaluation.details = {**evaluation.details, **summary.details}
    session.flush()


# One row for each result: ten thousand in a tenth of a second.
_SENT = func.jsonb_to_recordset(bindparam("results", type_=JSONB)).table_valued(
    *(TABLE.c[name] for name in ("place", "result", "change", "cut_off")), name="sent"
).render_derived(with_types=True)  # fmt: skip
_UPDATE = (
    update(TABLE)
    .where(TABLE.c.evaluation_id == bindparam("of"), TABLE.c.place == _SENT.c.place)
    .values(result=_SENT.c.result, change=_SENT.c.change, cut_off=_SENT.c.cut_off)
)


def _chunks(session: Session, evaluation_id: str) -> Iterator[Sequence[EvaluationItem]]:
    last = -1
    query = select(EvaluationItem).where(EvaluationItem.evaluation_id == evaluation_id)
    while True:
        following = query.where(EvaluationItem.place > last).order_by(EvaluationItem.place)
        found = session.scalars(following.limit(ITEMS_AT_ONCE)).all()
        if not found:
            return
        yield found
        last = found[-1].place


def _read(
    session: Session,
    evaluation: Evaluation,
    org_id: str,
    kind: str | None,
    alike: Alike,
    chunk: Sequence[EvaluationItem],
) -> Iterator[_Item]:
    """Measure some items, whose answers and judgments are read together."""
    suite = SUITES[evaluation.suite]
    texts = _texts(session, org_id, {k for i in chunk for k in (*i.answers, *i.baseline_answers)})
    values = judgments.values_of(session, org_id, {key for i in chunk for key in i.judgments})
    measure = measures.MEASURES[evaluation.suite]
    for item in chunk:
        sides = {"model": item.answers}
        if evaluation.baseline is not None or item.baseline_answers:
            sides["baseline"] = item.baseline_answers
        answers = {
            side: [texts[key][0] for key in keys]
            for side, keys in sides.items()
            if len(keys) == asked(evaluation, len(item.turns)) and all(k in texts for k in keys)
        }
        slots = judgments.slots(evaluation, kind, item)
        keys = [*item.judgments, *[""] * len(slots)][: len(slots)]
        # Judgments that can be there, because their answers are.
        could = [key for slot, key in zip(slots, keys, strict=True) if {*slot.shown} <= {*answers}]
        judged = [Judged(slot, values.get(key)) for slot, key in zip(slots, keys, strict=True)]
        if suite.reads_pairs:
            yield _of_pair(item, measure(Seen(item.category, item.reference, {}, judged)), judged)
            continue
        ours, theirs = answers.get("model"), answers.get("baseline")
        similar = {side: found.of(item.place) for side, found in alike.items()}
        yield _Item(
            place=item.place,
            category=item.category,
            found=measure(Seen(item.category, item.reference, answers, judged, similar)),
            cut_off=any(texts[key][1] for key in chain(*sides.values()) if key in texts),
            lengths=(len(ours[-1]), len(theirs[-1])) if ours and theirs else None,
            is_answered=len(answers) == len(sides),
            n_judged=sum(each.value is not None for each in judged),
            unparsed=sum(key in values and values[key] is None for key in could),
            failed=len(sides) - len(answers) + sum(key not in values for key in could),
        )


def _of_pair(item: EvaluationItem, found: Found, judged: Sequence[Judged]) -> _Item:
    """An item of a pair, whose answers are in the file. One that could not be measured is neither
    unparsed nor failed: the details say why.
    """
    return _Item(
        place=item.place,
        category=item.category,
        found=found,
        cut_off=False,
        lengths=None,
        is_answered=all(each.value is not None for each in judged),
        n_judged=0,
        unparsed=0,
        failed=0,
    )


def _texts(session: Session, org_id: str, keys: Collection[str]) -> dict[str, tuple[str, bool]]:
    """What answers say, without their thoughts, and whether they were cut off, by their keys."""
    query = select(Answer.key, Answer.text, Answer.finish_reason).where(
        Answer.org_id == org_id, Answer.key.in_(keys)
    )
    return {key: (spoken(text), reason == CUT_OFF) for key, text, reason in session.execute(query)}


def _counts(suite: Suite, items: Sequence[_Item]) -> dict[str, int]:
    has_judge = suite.judging in (Judging.PAIRS, Judging.RATINGS)
    return {
        "answered": sum(item.is_answered for item in items),
        "judged": sum(item.n_judged > 0 and not item.unparsed and not item.failed for item in items)
        if has_judge
        else 0,
        "cut_off": sum(item.cut_off for item in items),
        "unparsed": sum(item.unparsed for item in items),
        "failed": sum(item.failed for item in items),
    }


def _scores(
    suite: Suite, items: Sequence[_Item], details: Mapping[str, Any], alike: Alike
) -> Iterator[Score]:
    if alike:
        categories = {item.place: item.category for item in items}
        yield from diversity.scores(alike["model"], alike.get("baseline"), categories)
        return
    measured = {item.place: item.found.measured for item in items}
    metrics = [name for name in suite.metrics if name != LENGTH_CONTROLLED]
    yield from table.overall(measured, metrics)
    if LENGTH_CONTROLLED in suite.metrics:
        found = details["preference"]["length_controlled"]
        yield Score(LENGTH_CONTROLLED, None, found and Estimate(**found), None, None)
    yield from table.by_category(measured, metrics)
    kinds = {
        (item.place, kind): found for item in items for kind, found in item.found.kinds.items()
    }
    yield from table.by_category(kinds, KINDS)
    apart = {
        item.place: item.found.measured
        for item in items
        if item.found.result and item.found.result.get("random_officially")
    }
    if apart:
        yield from table.overall(apart, metrics, name=RANDOM)


def _details(suite: Suite, orders: int, items: Sequence[_Item]) -> dict[str, Any]:
    by_rewards = any(item.found.rewards for item in items)
    given = {item.place: item.found.verdict for item in items if item.found.verdict}
    is_compared = suite.judging is Judging.PAIRS or (by_rewards and given)
    return {
        "preference": _preference(items, given, 1 if by_rewards else orders, not by_rewards)
        if is_compared
        else None,
        "rewards": _rewards(items) if by_rewards else None,
    }


def _preference(
    items: Sequence[_Item],
    given: Mapping[int, verdicts.Verdict],
    orders: int,
    has_order: bool,
) -> dict[str, Any]:
    """How often the model's answer wins. Rewards know no order of the answers."""
    found = verdicts.preference({place: [verdict] for place, verdict in given.items()}, orders)
    compared = [
        (item.found.measured.model["win_rate"][0], *item.lengths)
        for item in items
        if item.lengths and item.found.measured.model.get("win_rate")
    ]
    won, ours, theirs = ([row[at] for row in compared] for at in range(3))
    controlled = length_control.win_rate(won, list(map(int, ours)), list(map(int, theirs)))
    return {
        **{name: getattr(found, name) for name in ("wins", "draws", "losses", "unparsed")},
        "win_rate": _estimate(found.win_rate),
        "flip_rate": _estimate(found.flip_rate),
        "first_wins": _estimate(found.first_wins) if has_order else None,
        "length_controlled": _estimate(controlled.win_rate) if controlled else None,
    }


def _rewards(items: Sequence[_Item]) -> dict[str, Any] | None:
    """Histograms of the rewards on common edges."""
    ours, theirs = (
        [item.found.rewards[side] for item in items if side in item.found.rewards]
        for side in ("model", "baseline")
    )
    if not ours:
        return None
    edges, counts = rewards.histograms([ours, theirs])
    return {"edges": edges, "model": counts[0], "baseline": counts[1] if theirs else None}


def _as_json(score: Score) -> dict[str, Any]:
    sides = {name: _estimate(getattr(score, name)) for name in ("model", "baseline", "difference")}
    return {"metric": score.metric, "category": score.category, **sides}


def _estimate(found: Estimate | None) -> dict[str, Any] | None:
    return asdict(found) if found else None
