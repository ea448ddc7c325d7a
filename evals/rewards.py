"""What a reward model makes of two models' answers to the same prompts (paper, Tables 2 and 3)."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np

from evals import statistics, verdicts
from evals.statistics import Estimate

BINS = 40


@dataclass(frozen=True)
class Rewards:
    """Mean and standard deviation of one model's rewards, with a histogram on `edges`."""

    mean: Estimate | None
    deviation: float
    counts: list[int]


@dataclass(frozen=True)
class Compared:
    """Rewards of ours and theirs on common bins; `win_rate` counts a tie as half."""

    ours: Rewards
    theirs: Rewards
    edges: list[float]
    win_rate: Estimate | None
    ties: int
    difference: Estimate | None


def compare(
    ours: Mapping[Any, float], theirs: Mapping[Any, float], seed: int = 0
) -> Compared | None:
    """Compare rewards of answers by prompt; prompts that one side lacks are left out.

    Returns None if no prompt is left. Raises ValueError for a reward that is not finite.
    """
    prompts = [prompt for prompt in ours if prompt in theirs]
    if not prompts:
        return None
    sides = [[side[prompt] for prompt in prompts] for side in (ours, theirs)]
    if not np.isfinite(sides).all():
        raise ValueError("A reward is not a finite number.")
    edges, counts = histograms(sides)
    outcomes = [verdicts.of_numbers(a, b) for a, b in zip(*sides, strict=True)]
    left, right = ({p: [r] for p, r in zip(prompts, side, strict=True)} for side in sides)
    return Compared(
        ours=_rewards(left, sides[0], counts[0], seed),
        theirs=_rewards(right, sides[1], counts[1], seed),
        edges=edges,
        win_rate=statistics.win_rate(
            {p: [o] for p, o in zip(prompts, outcomes, strict=True)}, seed
        ),
        ties=sum(o == verdicts.DRAW for o in outcomes),
        difference=statistics.difference(left, right, seed),
    )


def histograms(sides: Sequence[Sequence[float]]) -> tuple[list[float], list[list[int]]]:
    """Return 40 bins over all rewards, as 41 edges, and each side's counts in them."""
    edges = np.histogram_bin_edges(np.concatenate([np.asarray(side) for side in sides]), BINS)
    return edges.tolist(), [np.histogram(side, edges)[0].tolist() for side in sides]


def _rewards(
    grouped: Mapping[Any, Sequence[float]], flat: Sequence[float], counts: list[int], seed: int
) -> Rewards:
    deviation = float(np.std(flat, ddof=1)) if len(flat) > 1 else 0.0
    return Rewards(statistics.mean(grouped, seed), deviation, counts)
