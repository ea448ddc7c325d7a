"""Intervals: their width, their groups, and that they are the same each time."""

import numpy as np
import pytest

from evals import statistics


def test_the_interval_of_a_mean_is_that_of_the_normal_distribution() -> None:
    """1.96 standard errors on both sides, which a bootstrap of many values must come near to."""
    values = np.random.default_rng(0).normal(5, 2, 4_000)
    found = statistics.mean({at: [float(value)] for at, value in enumerate(values)})
    assert found
    error = 1.96 * values.std(ddof=1) / np.sqrt(len(values))
    assert found.value == pytest.approx(values.mean())
    assert found.low == pytest.approx(values.mean() - error, abs=error / 10)
    assert found.high == pytest.approx(values.mean() + error, abs=error / 10)


def test_values_of_one_prompt_do_not_count_as_independent() -> None:
    values = np.random.default_rng(1).normal(0, 1, 100)
    single = statistics.mean({at: [value] for at, value in enumerate(values)})
    tenfold = statistics.mean({at: [value] * 10 for at, value in enumerate(values)})
    assert single
    assert tenfold
    assert (single.n, tenfold.n) == (100, 100)
    assert tenfold.low == pytest.approx(single.low)
    assert tenfold.high == pytest.approx(single.high)


def test_a_paired_difference_is_narrower_than_two_intervals() -> None:
    random = np.random.default_rng(2)
    hard = random.normal(0, 1, 200)
    ours = {at: [value + 0.1] for at, value in enumerate(hard)}
    theirs = {at: [value] for at, value in enumerate(hard)} | {"only theirs": [100.0]}
    found = statistics.difference(ours, theirs)
    assert found
    assert (found.n, found.value) == (200, pytest.approx(0.1))
    assert found.high == pytest.approx(found.low)


def test_one_prompt_has_no_interval_and_none_has_no_mean() -> None:
    assert statistics.mean({}) is None
    assert statistics.mean({"empty": []}) is None
    assert statistics.mean({"one": [1.0, 2.0]}) == statistics.Estimate(1.5, None, None, 1)
    assert statistics.difference({"a": [1.0]}, {"b": [1.0]}) is None


def test_a_draw_counts_half_and_nothing_else_is_an_outcome() -> None:
    found = statistics.win_rate({1: [1], 2: [0.5], 3: [0], 4: [0.5]})
    assert found
    assert found.value == 0.5
    with pytest.raises(ValueError, match=r"0, 0\.5 or 1"):
        statistics.win_rate({1: [0.7]})


def test_a_seed_gives_the_same_interval() -> None:
    values = {at: [at**0.5] for at in range(50)}
    assert statistics.mean(values, 3) == statistics.mean(values, 3)
    assert statistics.mean(values, 3) != statistics.mean(values, 4)
