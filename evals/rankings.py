"""Strengths of models from votes on pairs of their answers (Bradley and Terry 1952).

The log odds that the answer shown first wins are its model's strength minus the other's, plus a
side effect, which is what voters give the first place for nothing (Davidson and Beaver 1977). A tie
counts as half a win for each. Not choix or statsmodels: neither takes a side effect, halves and
weights of draws in one fit, and the fit is a logistic regression with a few parameters.
"""

from collections import Counter
from collections.abc import Hashable, Iterable, Mapping, Sequence
from dataclasses import dataclass
from functools import partial

import numpy as np
from numpy.typing import NDArray

from evals.estimates import Estimate
from evals.statistics import draws, with_interval

Array = NDArray[np.float64]

# The standard deviation of the prior on each parameter, in log odds: it keeps the strength of a
# model that has won each vote finite, and hardly moves that of any other.
PRIOR_SD = 3.0
STEPS = 50
ENOUGH = 1e-9


@dataclass(frozen=True)
class Vote:
    """Which of two answers won: `outcome` is 1 for the one that was shown first, 0.5 for a tie, and
    0 for the other one. Votes with the same `prompt` are drawn together.
    """

    prompt: Hashable
    first: str
    second: str
    outcome: float


@dataclass(frozen=True)
class Ranking:
    """`strengths` are log odds against an average model of the same group; a group is a set of
    models that votes connect, and models of different groups can't be compared. `side` is the log
    odds that voters give the first place, None unless some pair of models was shown in both orders.
    """

    strengths: Mapping[str, Estimate]
    groups: Sequence[Sequence[str]]
    side: Estimate | None


def rank(votes: Sequence[Vote], seed: int = 0) -> Ranking:
    """Rank the models that the votes name, each group from the strongest to the weakest.

    The intervals are percentile bootstraps over prompts; a single prompt has none. Raises
    ValueError for an outcome other than 1, 0.5 and 0, and for a model that is compared with itself.
    """
    if any(vote.outcome not in (0, 0.5, 1) for vote in votes):
        raise ValueError("An outcome is 1, 0.5 or 0.")
    if any(vote.first == vote.second for vote in votes):
        raise ValueError("A model is not compared with itself.")
    models = list(dict.fromkeys(name for vote in votes for name in (vote.first, vote.second)))
    if not models:
        return Ranking({}, [], None)
    groups = _groups(models, votes)
    cells = list(dict.fromkeys((vote.first, vote.second) for vote in votes))
    design = _design(models, cells)
    wins, shown = _by_prompt(votes, cells)
    n_prompts = len(wins)
    value = _fit(design, wins.sum(0)[None], shown.sum(0)[None])[0]
    drawn = np.concatenate(
        [
            _fit(design, times @ wins, times @ shown)
            for times in map(partial(_times, n_prompts), draws(n_prompts, seed))
        ]
    )
    centre = _centring(models, groups)
    value, drawn = value @ centre, drawn @ centre
    estimates = [
        # Each draw of a single prompt is the same: an interval without width would look certain.
        with_interval(float(one), of_one, n_prompts)
        if n_prompts > 1
        else Estimate(float(one), None, None, 1)
        for one, of_one in zip(value, drawn.T, strict=True)
    ]
    of_model = dict(zip(models, estimates, strict=False))  # the last one is that of the side
    ordered = [sorted(group, key=lambda name: -of_model[name].value) for group in groups]
    is_swapped = any((second, first) in cells for first, second in cells)
    side = estimates[-1] if is_swapped else None
    return Ranking({name: of_model[name] for group in ordered for name in group}, ordered, side)


def _groups(models: Iterable[str], votes: Sequence[Vote]) -> list[list[str]]:
    """The connected parts of the graph of votes, that with the most votes first."""
    group_of = {name: [name] for name in models}
    for vote in votes:
        one, other = group_of[vote.first], group_of[vote.second]
        if one is not other:
            one += other
            group_of |= dict.fromkeys(other, one)
    unique = {id(group): group for group in group_of.values()}
    of_group = Counter(id(group_of[vote.first]) for vote in votes)
    return [unique[key] for key, _ in of_group.most_common()]


def _design(models: Sequence[str], cells: Sequence[tuple[str, str]]) -> Array:
    """Return [cells, models + 1]: 1 for the first, -1 for the second, and 1 for the side."""
    design = np.zeros((len(cells), len(models) + 1))
    place = {name: at for at, name in enumerate(models)}
    for row, (first, second) in zip(design, cells, strict=True):
        row[place[first]], row[place[second]], row[-1] = 1, -1, 1
    return design


def _by_prompt(votes: Sequence[Vote], cells: Sequence[tuple[str, str]]) -> tuple[Array, Array]:
    """Return how often the first has won, and how many votes there are: [prompts, cells] each."""
    prompts = {prompt: at for at, prompt in enumerate(dict.fromkeys(v.prompt for v in votes))}
    place = {cell: at for at, cell in enumerate(cells)}
    wins, shown = np.zeros((2, len(prompts), len(cells)))
    for vote in votes:
        at = prompts[vote.prompt], place[vote.first, vote.second]
        wins[at] += vote.outcome
        shown[at] += 1
    return wins, shown


def _times(n: int, drawn: NDArray[np.int64]) -> Array:
    """Return how often each of `n` prompts is in each draw: [draws, n]."""
    return np.stack([np.bincount(draw, minlength=n) for draw in drawn]).astype(np.float64)


def _fit(design: Array, wins: Array, shown: Array) -> Array:
    """Return the parameters of each draw, [draws, parameters], by Newton's method.

    The prior makes the objective strictly convex, so that each draw has one minimum; a step that
    would raise the objective is halved.
    """
    weights = np.zeros((len(wins), design.shape[1]))
    prior = np.eye(design.shape[1]) / PRIOR_SD**2
    for _ in range(STEPS):
        chance = _probability(weights @ design.T)
        slope = (shown * chance - wins) @ design + weights @ prior
        curve = np.einsum("dc,ci,cj->dij", shown * chance * (1 - chance), design, design) + prior
        step = np.linalg.solve(curve, slope[..., None])[..., 0]
        size = np.ones((len(wins), 1))
        now = _objective(design, wins, shown, weights)
        while (
            worse := _objective(design, wins, shown, weights - size * step) > now + ENOUGH
        ).any():
            size[worse] /= 2
        weights = weights - size * step
        if np.abs(size * step).max() < ENOUGH:
            break
    return weights


def _objective(design: Array, wins: Array, shown: Array, weights: Array) -> Array:
    scores = weights @ design.T
    loss = wins * np.logaddexp(0, -scores) + (shown - wins) * np.logaddexp(0, scores)
    return loss.sum(1) + (weights**2).sum(1) / (2 * PRIOR_SD**2)


def _probability(scores: Array) -> Array:
    return np.exp(-np.logaddexp(0, -scores))


def _centring(models: Sequence[str], groups: Sequence[Sequence[str]]) -> Array:
    """Return the matrix that subtracts its group's mean from each strength, and keeps the side."""
    centre = np.eye(len(models) + 1)
    place = {name: at for at, name in enumerate(models)}
    for group in groups:
        members = [place[name] for name in group]
        centre[np.ix_(members, members)] -= 1 / len(members)
    return centre


def expected_win_rate(strength: float) -> float:
    """Return how often a model with this strength beats an average one of its group."""
    return float(_probability(np.asarray(strength)))
