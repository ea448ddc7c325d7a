"""Means, shares and differences with 95 % intervals.

Every interval is a percentile bootstrap over prompts (Efron 1979): what belongs to one prompt, such
as both turns of a conversation or all its instructions, is drawn together, so that answers to one
prompt don't count as independent. Deterministic for a seed.
"""

from collections.abc import Iterator, Mapping, Sequence
from typing import Any

import numpy as np
from numpy.typing import NDArray

from evals.estimates import Estimate

DRAWS = 2_000
LEVEL = 0.95
DRAWS_AT_ONCE = 100  # with 10,000 prompts: 8 MB of indices


def mean(values: Mapping[Any, Sequence[float]], seed: int = 0) -> Estimate | None:
    """Return the mean of all values, which are grouped by prompt; None without a value.

    A prompt with more values weighs more, as in the plain mean of all of them.
    """
    kept = [group for group in values.values() if len(group)]
    if not kept:
        return None
    sums = np.array([sum(group) for group in kept], dtype=np.float64)
    sizes = np.array([len(group) for group in kept], dtype=np.float64)
    value = float(sums.sum() / sizes.sum())
    if len(kept) == 1:
        return Estimate(value, None, None, 1)
    # Each draw has as many values as there are, if all prompts have the same number of them.
    total = float(sizes.sum()) if (sizes == sizes[0]).all() else None
    drawn = np.concatenate(
        [
            sums[draw].sum(axis=1) / (total or sizes[draw].sum(axis=1))
            for draw in draws(len(kept), seed)
        ]
    )
    return with_interval(value, drawn, len(kept))


def with_interval(value: float, drawn: Sequence[float] | NDArray[np.float64], n: int) -> Estimate:
    """Return a value of `n` prompts with the percentile interval of its bootstrap draws."""
    tail = (1 - LEVEL) / 2
    low, high = np.quantile(drawn, [tail, 1 - tail])
    return Estimate(value, float(low), float(high), n)


def difference(
    ours: Mapping[Any, Sequence[float]],
    theirs: Mapping[Any, Sequence[float]],
    seed: int = 0,
) -> Estimate | None:
    """Return the mean of `ours - theirs` over the prompts that both have; None if there is none.

    It is paired: each prompt's mean is compared with the same prompt's, so how hard a prompt is
    cancels out.
    """
    both = [prompt for prompt in ours if len(ours[prompt]) and len(theirs.get(prompt, ()))]
    return mean(
        {prompt: [_average(ours[prompt]) - _average(theirs[prompt])] for prompt in both}, seed
    )


def _average(values: Sequence[float]) -> float:
    return float(sum(values)) / len(values)


def win_rate(outcomes: Mapping[Any, Sequence[float]], seed: int = 0) -> Estimate | None:
    """Return the share of wins; each outcome is 1 for a win, 0.5 for a draw, 0 for a loss.

    Raises ValueError for any other outcome: a probability of a win is averaged with `mean`.
    """
    if {value for group in outcomes.values() for value in group} - {0, 0.5, 1}:
        raise ValueError("An outcome is 0, 0.5 or 1.")
    return mean(outcomes, seed)


def draws(n: int, seed: int) -> Iterator[NDArray[np.int64]]:
    """Yield which of `n` prompts are in each draw: indices [draws, n]."""
    random = np.random.default_rng(seed)
    for _ in range(DRAWS // DRAWS_AT_ONCE):
        yield random.integers(0, n, (DRAWS_AT_ONCE, n))
