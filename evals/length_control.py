"""The length-controlled win rate of AlpacaEval 2 (Dubois et al. 2024, arXiv 2404.04475, section 3).

A logistic regression explains each preference by the difference of lengths, the difficulty of the
instruction (if known) and the models themselves; the win rate is what it predicts for answers of
equal length. Upstream also pulls the fit towards two gamed baselines; without their data the number
is "length-controlled, unregularised".
"""

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from evals.statistics import Estimate, with_interval

Array = NDArray[np.float64]

FOLDS = 5
STRENGTHS = np.logspace(-4, 4, 10)  # inverse regularisation, as LogisticRegressionCV tries them
DECIDED_NATS = 0.05  # held-out log loss of a pair
DRAWS = 200
STEPS = 100
ENOUGH = 1e-6
SMALLEST_CURVE = 1e-9  # where no pair is undecided, the loss is flat
FEWEST = 2 * FOLDS


@dataclass(frozen=True)
class Controlled:
    """The win rate at equal lengths; None if length alone decides nearly every pair, because
    nothing is known about equal lengths then.

    `length_effect`: the weight of the length difference, in log odds for a difference of one tanh
    unit; positive if longer answers are preferred.
    """

    win_rate: Estimate | None
    length_effect: float


def win_rate(
    preferences: Sequence[float],
    ours: Sequence[int],
    theirs: Sequence[int],
    difficulty: Sequence[float] | None = None,
    seed: int = 0,
) -> Controlled | None:
    """Return the win rate at equal lengths; None with fewer than ten pairs.

    `preferences`: for each pair the probability (or 1, 0.5, 0) that ours is better; `ours` and
    `theirs`: lengths of both answers in characters. The interval is a bootstrap over pairs with the
    regularisation that cross-validation chose.
    """
    n = len(preferences)
    if n < FEWEST:
        return None
    target = np.asarray(preferences, dtype=np.float64)
    design = _design(np.asarray(ours) - np.asarray(theirs), difficulty)
    strength, loss = _best_strength(design, target)
    weights = _fit(design, target, strength)
    if loss < DECIDED_NATS:
        return Controlled(None, float(weights[0]))
    equal = design.copy()
    equal[:, 0] = 0.0
    random = np.random.default_rng(seed)
    drawn = []
    for _ in range(DRAWS):
        chosen = random.integers(0, n, n)
        fitted = _fit(design[chosen], target[chosen], strength)
        drawn.append(float(_probability(equal[chosen] @ fitted).mean()))
    value = float(_probability(equal @ weights).mean())
    return Controlled(with_interval(value, drawn, n), float(weights[0]))


def _design(delta: NDArray[np.int64], difficulty: Sequence[float] | None) -> Array:
    """Return [n, 2 or 3]: tanh of the length difference in standard deviations, 1, difficulty."""
    deviation = delta.std(ddof=1) or 1.0
    columns = [np.tanh(delta / deviation), np.ones(len(delta))]
    if difficulty is not None:
        columns.append(np.asarray(difficulty, dtype=np.float64))
    return np.stack(columns, axis=1)


def _fit(design: Array, target: Array, strength: float) -> Array:
    """Return the weights that minimise `strength` * log loss + the sum of absolute weights.

    The loss is summed over pairs, for targets that are probabilities. Proximal Newton steps (Lee,
    Sun and Saunders 2014), with coordinate descent inside: there are two or three weights. Not
    scikit-learn: transformers imports it wherever it is installed, a second for each training.
    """
    weights = np.zeros(design.shape[1])
    for _ in range(STEPS):
        chance = _probability(design @ weights)
        slope = strength * design.T @ (chance - target)
        curve = strength * (design.T * (chance * (1 - chance))) @ design
        curve += SMALLEST_CURVE * np.eye(len(weights))
        step = _descend(weights, slope, curve) - weights
        now, size = _objective(design, target, strength, weights), 1.0
        while _objective(design, target, strength, weights + size * step) > now and size > ENOUGH:
            size /= 2
        weights = weights + size * step
        if np.abs(size * step).max() < ENOUGH * max(1.0, np.abs(weights).max()):
            break
    return weights


def _descend(weights: Array, slope: Array, curve: Array) -> Array:
    """Minimise the quadratic model around `weights` plus the absolute weights, one at a time."""
    new = weights.copy()
    for _ in range(STEPS):
        before = new.copy()
        for at in range(len(new)):
            pull = slope[at] + curve[at] @ (new - weights)
            free = new[at] - pull / curve[at, at]
            new[at] = np.sign(free) * max(abs(free) - 1 / curve[at, at], 0.0)
        if np.abs(new - before).max() < ENOUGH:
            break
    return new


def _objective(design: Array, target: Array, strength: float, weights: Array) -> float:
    return strength * _log_loss(design @ weights, target) + float(np.abs(weights).sum())


def _log_loss(scores: Array, target: Array) -> float:
    """Return the summed log loss: log(1 + e^-s) for a win, log(1 + e^s) for a loss."""
    return float((target * np.logaddexp(0, -scores) + (1 - target) * np.logaddexp(0, scores)).sum())


def _best_strength(design: Array, target: Array) -> tuple[float, float]:
    """Return the regularisation with the lowest log loss on held-out pairs, and that loss."""
    fold = np.arange(len(target)) % FOLDS
    losses = np.zeros(len(STRENGTHS))
    for held_out in (fold == at for at in range(FOLDS)):
        for at, strength in enumerate(STRENGTHS):
            weights = _fit(design[~held_out], target[~held_out], strength)
            losses[at] += _log_loss(design[held_out] @ weights, target[held_out])
    best = int(np.argmin(losses))
    return float(STRENGTHS[best]), float(losses[best] / len(target))


def _probability(scores: Array) -> Array:
    return np.exp(-np.logaddexp(0, -scores))
