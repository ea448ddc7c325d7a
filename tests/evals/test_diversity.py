"""Similarity of answers within and across prompts, with the intervals of both."""

from itertools import combinations

import numpy as np
import pytest

from evals import diversity, statistics
from evals.diversity import ACROSS_INPUT, PER_INPUT
from evals.table import Score

X, Y, Z = [1.0, 0.0, 0.0], [0.0, 2.0, 0.0], [0.0, 0.0, 1.0]


def drawn(prompts: int, samples: int, seed: int, spread: float = 1.0) -> dict[int, np.ndarray]:
    """Samples around a centre of their own for each prompt; all centres share a direction."""
    random = np.random.default_rng(seed)
    centres = np.ones(8) + random.normal(size=(prompts, 1, 8))
    noise = spread * random.normal(size=(prompts, samples, 8))
    return dict(enumerate((centres + noise).astype(np.float32)))


def of(found: list[Score], metric: str, category: str | None = None) -> Score:
    (score,) = [each for each in found if (each.metric, each.category) == (metric, category)]
    return score


def cosine(one: np.ndarray, other: np.ndarray) -> float:
    return float(one @ other / np.linalg.norm(one) / np.linalg.norm(other))


def test_similarities_are_the_mean_cosines_of_all_pairs() -> None:
    samples = drawn(7, 4, seed=1)
    found = diversity.side(samples)
    pairs = {p: [cosine(a, b) for a, b in combinations(v, 2)] for p, v in samples.items()}
    firsts = [vectors[0] for vectors in samples.values()]
    scores = diversity.scores(found)
    within, across = of(scores, PER_INPUT).model, of(scores, ACROSS_INPUT).model
    assert within
    assert across
    assert within.value == pytest.approx(np.mean([np.mean(of_one) for of_one in pairs.values()]))
    assert across.value == pytest.approx(
        np.mean([cosine(*pair) for pair in combinations(firsts, 2)])
    )
    others = [cosine(firsts[2], vector) for at, vector in enumerate(firsts) if at != 2]
    assert found.to_others[2] == pytest.approx(np.mean(others))
    assert (within.n, across.n) == (7, 7)


def test_the_same_answers_have_a_similarity_of_one_and_unlike_ones_of_zero() -> None:
    found = diversity.side({1: np.array([X, X]), 2: np.array([X, Y]), 3: np.array([Z, Y])})
    assert found.within == pytest.approx({1: 1, 2: 0, 3: 0})
    assert found.to_others == pytest.approx({1: 0.5, 2: 0.5, 3: 0})


def test_a_difference_is_paired_and_over_the_prompts_that_both_have() -> None:
    ours, theirs = drawn(40, 3, seed=2), drawn(40, 3, seed=2, spread=0.2)
    del ours[0], theirs[39]
    model, baseline = diversity.side(ours), diversity.side(theirs)
    scores = diversity.scores(model, baseline)
    for metric in (PER_INPUT, ACROSS_INPUT):
        score = of(scores, metric)
        assert score.model
        assert score.baseline
        assert score.difference
        assert (score.model.n, score.baseline.n, score.difference.n) == (39, 39, 38)
    change = of(scores, PER_INPUT).difference
    assert change
    assert change.high is not None
    assert change.high < 0, "more spread is less alike"
    both = [p for p in ours if p in theirs]
    shared = [diversity.side({p: s[p] for p in both}) for s in (ours, theirs)]
    values = [of(diversity.scores(each), ACROSS_INPUT).model for each in shared]
    difference = of(scores, ACROSS_INPUT).difference
    assert difference
    assert values[0]
    assert values[1]
    assert difference.value == pytest.approx(values[0].value - values[1].value)
    same = diversity.scores(model, model)
    for metric in (PER_INPUT, ACROSS_INPUT):
        assert of(same, metric).difference == statistics.Estimate(0.0, 0.0, 0.0, 39)


def test_the_interval_across_prompts_holds_the_truth_in_about_95_of_100() -> None:
    """Each pair belongs to two prompts: an interval over the prompts' means holds it far less
    often.
    """
    many = np.array([v[0] for v in drawn(20_000, 1, seed=3).values()], dtype=np.float64)
    unit = many / np.linalg.norm(many, axis=1, keepdims=True)
    total = unit.sum(axis=0)
    truth = (total @ total - len(unit)) / (len(unit) * (len(unit) - 1))
    held = naive = 0
    rounds = 200
    for seed in range(rounds):
        found = diversity.side(drawn(40, 1, seed=100 + seed))
        across = of(diversity.scores(found, seed=seed), ACROSS_INPUT).model
        by_prompt = statistics.mean({p: [v] for p, v in found.to_others.items()}, seed)
        assert across
        assert by_prompt
        assert across.low is not None
        assert across.high is not None
        assert by_prompt.low is not None
        assert by_prompt.high is not None
        held += across.low <= truth <= across.high
        naive += by_prompt.low <= truth <= by_prompt.high
    assert 0.88 <= held / rounds <= 0.99
    assert naive / rounds < 0.8


def test_categories_are_measured_within_themselves() -> None:
    samples = {
        1: np.array([X, X]), 2: np.array([X, X]), 3: np.array([Y, Y]), 4: np.array([Y, Z]),
        5: np.array([Z, Z]),
    }  # fmt: skip
    named = {1: "a", 2: "a", 3: "b", 4: "b", 5: None}
    scores = diversity.scores(diversity.side(samples), categories=named)
    of_a, of_b = of(scores, ACROSS_INPUT, "a").model, of(scores, PER_INPUT, "b").model
    assert of_a
    assert (of_a.value, of_a.low, of_a.n) == (1, None, 2)
    assert of_b
    assert of_b.value == 0.5
    assert {each.category for each in scores} == {None, "a", "b"}


def test_what_can_t_be_measured_has_no_value() -> None:
    lonely = diversity.scores(diversity.side({1: np.array([X])}))
    assert [of(lonely, metric).model for metric in (PER_INPUT, ACROSS_INPUT)] == [None, None]
    assert not diversity.side({}).firsts
    with pytest.raises(ValueError, match="length 0"):
        diversity.side({1: np.array([[0.0, 0.0]])})
