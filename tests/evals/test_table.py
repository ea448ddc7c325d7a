"""The table of scores: both sides, their paired difference, and categories."""

from evals import table
from evals.table import Measured


def test_a_difference_is_over_the_prompts_that_both_sides_have() -> None:
    prompts = {
        1: Measured("a", {"m": [1.0, 0.0]}, {"m": [0.0]}),
        2: Measured("b", {"m": [1.0]}),
        3: Measured("b", {}, {"m": [1.0], "other": [5.0]}),
    }
    (score,) = table.overall(prompts, ["m"])
    assert score.model
    assert score.baseline
    assert score.difference
    assert (score.model.value, score.model.n) == (2 / 3, 2)
    assert (score.baseline.value, score.baseline.n) == (0.5, 2)
    assert (score.difference.value, score.difference.n) == (0.5, 1)


def test_categories_come_by_their_names_and_one_alone_is_left_out() -> None:
    prompts = {n: Measured("ab"[n % 2], {"m": [float(n % 2)]}) for n in range(6)}
    found = table.by_category(prompts, ["m"])
    assert [(score.category, score.model and score.model.value) for score in found] == [
        ("a", 0), ("b", 1),
    ]  # fmt: skip
    alone = {n: Measured("a" if n else None, {"m": [1.0]}) for n in range(3)}
    assert table.by_category(alone, ["m"]) == []


def test_of_many_categories_the_largest_are_kept() -> None:
    many = table.MOST_CATEGORIES + 5
    prompts = {n: Measured(f"c{n % many:03}", {"m": [1.0]}) for n in range(2 * many - 5)}
    found = table.by_category(prompts, ["m"])
    assert [score.category for score in found] == [f"c{n:03}" for n in range(table.MOST_CATEGORIES)]
