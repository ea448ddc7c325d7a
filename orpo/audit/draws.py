"""Draws that are the same for the same seed, on each machine and with each release of a library."""

import numpy as np
from numpy.typing import NDArray

Numbers = NDArray[np.uint64]


def mixed(values: Numbers, seed: int) -> Numbers:
    """Numbers [n] that look random, one for each value and seed: the finaliser of SplitMix64."""
    with np.errstate(over="ignore"):
        x = values + np.uint64(0x9E3779B97F4A7C15) * np.uint64(2 * seed + 1)
        x = (x ^ (x >> np.uint64(30))) * np.uint64(0xBF58476D1CE4E5B9)
        x = (x ^ (x >> np.uint64(27))) * np.uint64(0x94D049BB133111EB)
    return x ^ (x >> np.uint64(31))


def draw(n: int, of: int, seed: int) -> NDArray[np.intp]:
    """`n` places among the first `of`, ascending. All of them if `n` is not less than `of`."""
    if n >= of:
        return np.arange(of)
    order = np.argsort(mixed(np.arange(of, dtype=np.uint64), seed), kind="stable")
    return np.sort(order[:n])
