"""How alike a model's answers are, by cosine similarity of their vectors (arXiv 2403.07691, Table
4): between samples of one prompt, and between prompts. A lower similarity is more diverse.

Knows no embedder.
"""

from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

from evals import statistics, table
from evals.estimates import Estimate
from evals.table import Measured, Score

PER_INPUT, ACROSS_INPUT = "per_input", "across_input"
# What a prompt adds to `across_input`; an interval over these numbers would be too narrow.
TO_OTHERS = "to_others"
DRAWS_AT_ONCE = 100  # with 10,000 prompts: 8 MB of weights

Matrix = NDArray[np.float64]


@dataclass(frozen=True)
class Side:
    """The samples of one model. `within` is the mean similarity of a prompt's samples, `to_others`
    that of its first sample to the first samples of all other prompts, and `firsts` are these
    samples, [W] of length 1. A prompt with one sample is in no `within`.
    """

    within: Mapping[Any, float]
    to_others: Mapping[Any, float]
    firsts: Mapping[Any, Matrix]

    def of(self, prompt: Any) -> dict[str, float]:
        """The similarities of one prompt, as far as there are any."""
        named = ((PER_INPUT, self.within), (TO_OTHERS, self.to_others))
        return {name: values[prompt] for name, values in named if prompt in values}


def side(samples: Mapping[Any, NDArray[np.floating[Any]]]) -> Side:
    """Measure the samples of one model, as vectors [samples, W] for each prompt.

    Raises ValueError for a vector of length 0.
    """
    unit = {prompt: _unit(vectors) for prompt, vectors in samples.items() if len(vectors)}
    within = {prompt: _mean_pair(vectors) for prompt, vectors in unit.items() if len(vectors) > 1}
    firsts = {prompt: vectors[0] for prompt, vectors in unit.items()}
    to_others: dict[Any, float] = {}
    if len(firsts) > 1:
        stacked = np.stack(list(firsts.values()))
        means = (stacked @ stacked.sum(axis=0) - 1) / (len(stacked) - 1)
        to_others = {prompt: float(mean) for prompt, mean in zip(firsts, means, strict=True)}
    return Side(within, to_others, firsts)


def scores(
    model: Side,
    baseline: Side | None = None,
    categories: Mapping[Any, str | None] | None = None,
    seed: int = 0,
) -> list[Score]:
    """Return both similarities over all prompts and, where there are several categories, by
    category: across prompts of one category only.
    """
    theirs = baseline or Side({}, {}, {})
    named = categories or {}
    measured = {
        prompt: Measured(named.get(prompt), _values(model, prompt), _values(theirs, prompt))
        for prompt in {**model.firsts, **theirs.firsts}
    }
    found = table.overall(measured, [PER_INPUT], seed)
    found.append(_across(None, model.firsts, theirs.firsts, seed))
    found += table.by_category(measured, [PER_INPUT], seed)
    for name, members in table.categories(measured).items():
        ours, others = (
            {prompt: vector for prompt, vector in of_side.firsts.items() if prompt in members}
            for of_side in (model, theirs)
        )
        found.append(_across(name, ours, others, seed))
    return found


def _values(of_side: Side, prompt: Any) -> dict[str, list[float]]:
    return {PER_INPUT: [of_side.within[prompt]]} if prompt in of_side.within else {}


def _across(
    category: str | None, ours: Mapping[Any, Matrix], theirs: Mapping[Any, Matrix], seed: int
) -> Score:
    both = [prompt for prompt in ours if prompt in theirs]
    return Score(
        ACROSS_INPUT,
        category,
        _estimate([_stack(ours, ours)], seed),
        _estimate([_stack(theirs, theirs)], seed),
        _estimate([_stack(ours, both), _stack(theirs, both)], seed),
    )


def _stack(firsts: Mapping[Any, Matrix], prompts: Any) -> Matrix:
    found = [firsts[prompt] for prompt in prompts]
    return np.stack(found) if found else np.empty((0, 0))


def _estimate(sides: list[Matrix], seed: int) -> Estimate | None:
    """The mean similarity of all pairs of different prompts, or the first side's minus the second
    side's; each side's vectors are [N, W] of length 1, in the same order of prompts.

    The interval draws prompts again and takes the pairs of different prompts among those drawn. A
    bootstrap over each prompt's mean similarity to all others would be half as wide as it must be:
    each pair belongs to two prompts (Hoeffding 1948).
    """
    n = len(sides[0])
    if n < 2:
        return None
    once = np.ones((1, n))
    value = float(_minus([_mean_across(vectors, once) for vectors in sides])[0])
    if n == 2:  # no draw has other pairs than this one
        return Estimate(value, None, None, n)
    drawn = [_minus([_mean_across(v, weights) for v in sides]) for weights in _weights(n, seed)]
    kept = np.concatenate(drawn)
    return statistics.with_interval(value, kept[~np.isnan(kept)], n)


def _minus(of_sides: list[Matrix]) -> Matrix:
    return of_sides[0] - of_sides[1] if len(of_sides) == 2 else of_sides[0]


def _mean_across(vectors: Matrix, weights: Matrix) -> Matrix:
    """The mean similarity of different prompts for each draw [draws], from how often each prompt
    was drawn [draws, N]. A draw of one prompt only has none: NaN.
    """
    sums = weights @ vectors
    # Without a prompt's similarity to itself, which is 1 for each pair of its copies.
    itself = (weights**2).sum(axis=1)
    pairs = weights.sum(axis=1) ** 2 - itself
    with np.errstate(invalid="ignore", divide="ignore"):
        return ((sums**2).sum(axis=1) - itself) / np.where(pairs > 0, pairs, np.nan)


def _weights(n: int, seed: int) -> Iterator[Matrix]:
    """Yield how often each of `n` prompts is in each draw: [draws, n]."""
    random = np.random.default_rng(seed)
    for _ in range(statistics.DRAWS // DRAWS_AT_ONCE):
        yield random.multinomial(n, np.full(n, 1 / n), DRAWS_AT_ONCE).astype(np.float64)


def _unit(vectors: NDArray[np.floating[Any]]) -> Matrix:
    wide = np.asarray(vectors, dtype=np.float64)
    lengths = np.linalg.norm(wide, axis=1, keepdims=True)
    if not (lengths > 0).all():
        raise ValueError("A vector has length 0.")
    return wide / lengths


def _mean_pair(vectors: Matrix) -> float:
    """Return the mean cosine of all pairs, from the length of the vectors' sum."""
    n = len(vectors)
    total = vectors.sum(axis=0)
    return float((total @ total - n) / (n * (n - 1)))
