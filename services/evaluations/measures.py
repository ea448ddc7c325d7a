"""What one item's answers and judgments amount to in each suite, through the functions of `evals`.

Knows no database: an item comes with the texts of its answers and the values of its judgments.
"""

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any

from evals import held_out, verdicts
from evals.diversity import PER_INPUT
from evals.table import Measured
from evals.verdicts import Verdict
from services.evaluations import judgments
from services.evaluations.suites import ANSWERS, Slot

if TYPE_CHECKING:
    from evals.ifeval.score import Followed

Numbers = dict[str, list[float]]


@dataclass(frozen=True)
class Judged:
    """A judgment's slot, and its value; None without a reply, or if the reply has no verdict."""

    slot: Slot
    value: float | None


@dataclass(frozen=True)
class Seen:
    """An item with all that was answered and judged. `answers` are the texts of a side's turns
    without thoughts, of each sample; a side that has not answered all of them is left out.
    """

    category: str | None
    reference: Mapping[str, Any]
    answers: Mapping[str, list[str]]
    judged: Sequence[Judged] = ()
    # How alike its samples are, by side: `evals.diversity.Side.of`.
    similar: Mapping[str, Mapping[str, float]] = field(default_factory=dict)


@dataclass(frozen=True)
class Found:
    """What was measured of an item. `result` is stored with it, `change` is the model's minus the
    baseline's. `kinds` are its instructions by their kind, `verdict` that on a pair of answers, and
    `rewards` the mean reward by side.
    """

    measured: Measured
    result: dict[str, Any] | None = None
    change: float | None = None
    kinds: Mapping[str, Measured] = field(default_factory=dict)
    verdict: Verdict | None = None
    rewards: Mapping[str, float] = field(default_factory=dict)


def ifeval(seen: Seen) -> Found:
    """Check the instructions of a prompt. The change is that of the share that is followed."""
    # Its language detector is not in each image whose workers import this module.
    from evals.ifeval import score as ifeval_score  # noqa: PLC0415

    # Its text plays no part in the checks: the row is read for its instructions.
    prompt = ifeval_score.read({"prompt": "", **seen.reference})
    followed = {
        side: ifeval_score.check(prompt, answers[-1]) for side, answers in seen.answers.items()
    }
    kinds: dict[str, dict[str, Numbers]] = {}
    for side, found in followed.items():
        for at, (kind, _) in enumerate(prompt.instructions):
            numbers = kinds.setdefault(kind, {}).setdefault(side, {})
            numbers.setdefault("instruction_strict", []).append(float(found.strict[at]))
            numbers.setdefault("instruction_loose", []).append(float(found.loose[at]))
    values = {side: _accuracies(found) for side, found in followed.items()}
    shares = {side: _mean(map(float, found.strict)) for side, found in followed.items()}
    is_random = prompt.key in ifeval_score.RANDOM_OFFICIALLY
    return Found(
        _measured(seen.category, values),
        _result({side: _as_json(found) for side, found in followed.items()}, random=is_random),
        _change(shares),
        {kind: _measured(kind, sides) for kind, sides in kinds.items()},
    )


def _accuracies(found: "Followed") -> Numbers:
    return {
        "prompt_strict": [float(all(found.strict))],
        "prompt_loose": [float(all(found.loose))],
        "instruction_strict": list(map(float, found.strict)),
        "instruction_loose": list(map(float, found.loose)),
    }


def _as_json(found: "Followed") -> dict[str, Any]:
    return {"strict": list(found.strict), "loose": list(found.loose)}


def pairs(seen: Seen) -> Found:
    """Read the verdict on a pair of answers. The change is 1 for a win and -1 for a loss.

    Two rewards are a verdict that knows no order.
    """
    if rewards := _by_side(seen):
        return _compared(seen, rewards)
    slots = [each.slot for each in seen.judged]
    keys = list(map(str, range(len(slots))))
    values = {key: each.value for key, each in zip(keys, seen.judged, strict=True)}
    verdict = judgments.verdict(slots, keys, values)
    outcome = verdicts.outcome(verdict, len(slots)) if slots else None
    if outcome is None:
        return Found(Measured(seen.category), verdict=verdict if slots else None)
    result: dict[str, Any] = {"win_rate": outcome}
    if verdict.second is not None and verdict.first is not None:
        result["flipped"] = verdicts.winner(verdict.first) != verdicts.winner(verdict.second)
    return Found(_won(seen.category, {}, outcome), result, 2 * outcome - 1, verdict=verdict)


def reward(seen: Seen) -> Found:
    """Take the mean reward of a side's turns. The change is the difference of the rewards."""
    return _compared(seen, _by_side(seen))


def _compared(seen: Seen, rewards: Mapping[str, Sequence[float]]) -> Found:
    means = {side: _mean(numbers) for side, numbers in rewards.items()}
    values: dict[str, Numbers] = {side: {"reward": [mean]} for side, mean in means.items()}
    result = _result({side: {"reward": mean} for side, mean in means.items()})
    if len(means) < 2:
        return Found(_measured(seen.category, values), result, rewards=means)
    ours, theirs = means["model"], means["baseline"]
    outcome = verdicts.of_numbers(ours, theirs)
    return Found(
        _won(seen.category, values, outcome),
        {**(result or {}), "win_rate": outcome},
        ours - theirs,
        verdict=Verdict(outcome),
        rewards=means,
    )


def mt_bench(seen: Seen) -> Found:
    """Take the ratings of both turns. The change is the difference of their means."""
    values: dict[str, Numbers] = {}
    for each in seen.judged:
        if each.value is not None:
            numbers = values.setdefault(each.slot.shown[0], {})
            numbers.setdefault("rating", []).append(each.value)
            numbers[f"rating_turn_{each.slot.turn + 1}"] = [each.value]
    means = {side: _mean(numbers["rating"]) for side, numbers in values.items()}
    by_side = {
        side: {name: _mean(of_name) for name, of_name in numbers.items()}
        for side, numbers in values.items()
    }
    return Found(_measured(seen.category, values), _result(by_side), _change(means))


def pairs_held_out(seen: Seen) -> Found:
    """Take the likelihoods of both answers of a pair. The change is that of the log odds ratio."""
    logps: dict[str, dict[str, float]] = {}
    for each in seen.judged:
        if each.value is not None:
            logps.setdefault(each.slot.shown[0], {})[each.slot.answer or ""] = each.value
    by_side = {
        side: held_out.numbers(**both) for side, both in logps.items() if len(both) == len(ANSWERS)
    }
    values = {
        side: {name: [value] for name, value in numbers.items()}
        for side, numbers in by_side.items()
    }
    ratios = {side: numbers["log_odds_ratio"] for side, numbers in by_side.items()}
    return Found(_measured(seen.category, values), _result(by_side), _change(ratios))


def diversity(seen: Seen) -> Found:
    """Take how alike the samples are. The change is the baseline's similarity minus the model's:
    below 0, the model's samples are more alike, so less diverse.
    """
    by_side = {side: dict(found) for side, found in seen.similar.items() if found}
    within = {side: found[PER_INPUT] for side, found in by_side.items() if PER_INPUT in found}
    values: dict[str, Numbers] = {side: {PER_INPUT: [value]} for side, value in within.items()}
    is_compared = len(within) == 2
    change = within["baseline"] - within["model"] if is_compared else None
    return Found(_measured(seen.category, values), _result(by_side), change)


MEASURES: dict[str, Callable[[Seen], Found]] = {
    "ifeval": ifeval,
    "held_out": pairs_held_out,
    "custom": pairs,
    "alpaca_eval": pairs,
    "reward": reward,
    "mt_bench": mt_bench,
    "diversity": diversity,
}


def _by_side(seen: Seen) -> dict[str, list[float]]:
    """The values of judgments on one answer each, by side; a side that lacks one is left out."""
    given: dict[str, list[float | None]] = {}
    for each in seen.judged:
        if len(each.slot.shown) == 1:
            given.setdefault(each.slot.shown[0], []).append(each.value)
    return {
        side: [value for value in values if value is not None]
        for side, values in given.items()
        if None not in values
    }


def _won(category: str | None, values: dict[str, Numbers], outcome: float) -> Measured:
    """Values with the win rate of both sides, which add up to 1."""
    ours = {**values.get("model", {}), "win_rate": [outcome]}
    theirs = {**values.get("baseline", {}), "win_rate": [1 - outcome]}
    return Measured(category, ours, theirs)


def _measured(category: str | None, values: Mapping[str, Numbers]) -> Measured:
    return Measured(category, values.get("model", {}), values.get("baseline", {}))


def _result(
    by_side: Mapping[str, dict[str, Any]], *, random: bool = False
) -> dict[str, Any] | None:
    """The model's findings, and the baseline's under that name; None without the model's."""
    if "model" not in by_side:
        return None
    baseline = {"baseline": by_side["baseline"]} if "baseline" in by_side else {}
    return {**by_side["model"], **baseline, **({"random_officially": True} if random else {})}


def _change(by_side: Mapping[str, float]) -> float | None:
    return by_side["model"] - by_side["baseline"] if len(by_side) == 2 else None


def _mean(numbers: Any) -> float:
    known = list(numbers)
    return sum(known) / len(known)
