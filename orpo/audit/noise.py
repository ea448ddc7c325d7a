"""How many choices of a file are probably wrong, from a judge that did not learn from them.

Confident learning (Northcutt, Jiang and Chuang 2021, arXiv 1911.00068) for one kind of example: a
pair and its given order. Both orders of a pair are mirror images, so the two classes of the paper
have the same threshold. Knows probabilities; knows no pairs, texts or models.

Shapes: E pairs.
"""

import math
from typing import NamedTuple

import numpy as np
from numpy.typing import NDArray

Floats = NDArray[np.float64]

DRAWS = 1000  # of the bootstrap
PERCENTILES = (2.5, 97.5)
Z_95 = 1.959963984540054


class Noise(NamedTuple):
    """A share with the ends of its 95 % interval."""

    share: float
    low: float
    high: float


def confident(right_E: Floats) -> tuple[NDArray[np.bool_], NDArray[np.bool_]]:
    """Which pairs count as right and which as wrong, given the probability that each is right.

    A pair counts if the probability of one of its two orders is at least the mean probability of
    the given order (the threshold of the paper's section 3.1), and for the more probable order.
    """
    threshold = max(0.5, float(right_E.mean())) if len(right_E) else 0.5
    return (right_E >= threshold) & (right_E > 0.5), (1 - right_E >= threshold) & (right_E < 0.5)


def share(right_E: Floats, seed: int = 0) -> Noise:
    """The share of wrong choices: those that count as wrong among all that count. The interval is
    that of a bootstrap over pairs.

    It covers the draw of the pairs, not the errors of the judge: a weak judge takes right choices
    for wrong ones, and the estimate is then too high.
    """
    draw = np.random.default_rng(seed)
    draws = [_share(draw.choice(right_E, len(right_E))) for _ in range(DRAWS)]
    low, high = np.percentile(draws, PERCENTILES)
    return Noise(_share(right_E), float(low), float(high))


def wilson(count: int, n: int) -> Noise:
    """The share `count / n` with its score interval (Wilson 1927); n > 0."""
    found, z2 = count / n, Z_95**2
    middle = (found + z2 / (2 * n)) / (1 + z2 / n)
    half = Z_95 * math.sqrt(found * (1 - found) / n + z2 / (4 * n * n)) / (1 + z2 / n)
    return Noise(found, max(0.0, middle - half), min(1.0, middle + half))


def _share(right_E: Floats) -> float:
    right, wrong = (int(counted.sum()) for counted in confident(right_E))
    return wrong / max(1, right + wrong)
