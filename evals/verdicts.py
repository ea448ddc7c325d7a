"""Verdicts of a judge on pairs of answers, asked in both orders.

Judges prefer a place: of GPT-4's verdicts in FastChat #3911, 12.9 % change when the answers are
exchanged. A win therefore counts if both orders agree; a verdict that changes counts as a draw and
in the flip rate.
"""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from evals import statistics
from evals.statistics import Estimate

WIN, DRAW, LOSS = 1.0, 0.5, 0.0


@dataclass(frozen=True)
class Verdict:
    """What the judge said of our answer: 1 better, 0.5 equal, 0 worse, between them a probability;
    None if its reply had no verdict. `first`: shown first; `second`: shown second, or None if
    the judge was asked in one order only.
    """

    first: float | None
    second: float | None = None


@dataclass(frozen=True)
class Preference:
    """How often ours is preferred. `wins`, `draws` and `losses` count pairs; `unparsed` those
    without a usable verdict, which are in no rate.
    """

    win_rate: Estimate | None
    flip_rate: Estimate | None
    first_wins: Estimate | None
    wins: int
    draws: int
    losses: int
    unparsed: int


def outcome(verdict: Verdict, orders: int = 2) -> float | None:
    """Return our outcome of a pair; None unless the judge gave a verdict in each of the orders.

    Probabilities are averaged. Plain verdicts that contradict each other average to a draw.
    """
    given = [side for side in (verdict.first, verdict.second) if side is not None]
    return sum(given) / len(given) if len(given) == orders else None


def preference(
    verdicts: Mapping[Any, Sequence[Verdict]], orders: int = 2, seed: int = 0
) -> Preference:
    """Summarise verdicts, grouped by prompt. Raises ValueError unless orders is 1 or 2."""
    if orders not in {1, 2}:
        raise ValueError("A judge is asked in 1 or 2 orders.")
    outcomes = {
        prompt: [o for verdict in group if (o := outcome(verdict, orders)) is not None]
        for prompt, group in verdicts.items()
    }
    counted = [value for group in outcomes.values() for value in group]
    wins = sum(value > DRAW for value in counted)
    losses = sum(value < DRAW for value in counted)
    return Preference(
        win_rate=statistics.mean(outcomes, seed),
        flip_rate=statistics.mean(_flips(verdicts), seed) if orders == 2 else None,
        first_wins=statistics.mean(_first_wins(verdicts), seed),
        wins=wins,
        draws=len(counted) - wins - losses,
        losses=losses,
        unparsed=sum(map(len, verdicts.values())) - len(counted),
    )


def _flips(verdicts: Mapping[Any, Sequence[Verdict]]) -> dict[Any, list[float]]:
    """For pairs with verdicts in both orders: 1 if they name different winners."""
    return {
        prompt: [
            float(winner(verdict.first) != winner(verdict.second))
            for verdict in group
            if verdict.first is not None and verdict.second is not None
        ]
        for prompt, group in verdicts.items()
    }


def _first_wins(verdicts: Mapping[Any, Sequence[Verdict]]) -> dict[Any, list[float]]:
    """How often the answer that is shown first wins; 0.5 for a judge without a side."""
    return {
        prompt: [
            value
            for verdict in group
            for value in (verdict.first, None if verdict.second is None else 1 - verdict.second)
            if value is not None
        ]
        for prompt, group in verdicts.items()
    }


def of_numbers(ours: float, theirs: float) -> float:
    """Return the outcome where a judge gives each answer a number, such as a reward."""
    return (1 + (ours > theirs) - (ours < theirs)) / 2


def winner(value: float) -> int:
    """Return 1 if a verdict names the first answer, -1 for the second, 0 for a draw."""
    return (value > DRAW) - (value < DRAW)
