"""Held-out pairs of two models: log odds ratio, margin, and how often the chosen answer leads.

The log odds are those of the paper, equation 4: log(p / (1 - p)) of an answer's mean token
probability; the ratio is the chosen answer's minus the rejected one's.
"""

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

from evals import statistics
from evals.statistics import Estimate


@dataclass(frozen=True)
class Pair:
    """A pair's numbers under one model: `log_odds_ratio`, and the mean log-probability of a token
    of the chosen and of the rejected answer (nats).
    """

    log_odds_ratio: float
    chosen: float
    rejected: float


@dataclass(frozen=True)
class HeldOut:
    accuracy: Estimate | None
    log_odds_ratio: Estimate | None
    margin: Estimate | None


def scores(pairs: Mapping[Any, Pair], seed: int = 0) -> HeldOut:
    """Return the means over pairs; `accuracy` counts pairs with a positive log odds ratio."""
    return HeldOut(
        statistics.mean({k: [float(p.log_odds_ratio > 0)] for k, p in pairs.items()}, seed),
        statistics.mean({k: [p.log_odds_ratio] for k, p in pairs.items()}, seed),
        statistics.mean({k: [p.chosen - p.rejected] for k, p in pairs.items()}, seed),
    )


def differences(ours: Mapping[Any, Pair], theirs: Mapping[Any, Pair], seed: int = 0) -> HeldOut:
    """Return the paired differences `ours - theirs` over the pairs that both have."""

    def paired(value: str) -> Estimate | None:
        left, right = (
            {key: [_value(pair, value)] for key, pair in side.items()} for side in (ours, theirs)
        )
        return statistics.difference(left, right, seed)

    return HeldOut(paired("accuracy"), paired("log_odds_ratio"), paired("margin"))


def _value(pair: Pair, name: str) -> float:
    return {
        "accuracy": float(pair.log_odds_ratio > 0),
        "log_odds_ratio": pair.log_odds_ratio,
        "margin": pair.chosen - pair.rejected,
    }[name]
