"""Gates: how thresholds are read, and that the interval decides."""

import pytest

from evals import gates
from evals.estimates import Estimate
from evals.gates import Threshold


@pytest.mark.parametrize(
    ("text", "threshold", "shown"),
    [
        (0.4, Threshold(0.4, relative=False), "0.4"),
        ("0.4", Threshold(0.4, relative=False), "0.4"),
        ("base", Threshold(0, relative=True), "base"),
        ("base - 0.02", Threshold(-0.02, relative=True), "base - 0.02"),
        ("base+.1", Threshold(0.1, relative=True), "base + 0.1"),
    ],
)
def test_a_threshold_is_read(text: str | float, threshold: Threshold, shown: str) -> None:
    assert gates.parse(text) == threshold
    assert str(threshold) == shown
    assert gates.parse(shown) == threshold


@pytest.mark.parametrize("text", ["", "base * 2", "much", "nan", "base - -1", "base 0.1", "inf"])
def test_anything_else_is_refused(text: str) -> None:
    with pytest.raises(ValueError, match=r"such as `base - 0\.02`"):
        gates.parse(text)


def test_the_whole_interval_must_pass() -> None:
    at_least = Threshold(0.5, relative=False)
    above, around, below = (
        Estimate(value, value - 0.1, value + 0.1, 50) for value in (0.6, 0.55, 0.3)
    )
    assert gates.decide(at_least, above, None).passed
    assert not gates.decide(at_least, around, None).passed
    assert "inside the interval" in gates.decide(at_least, around, None).reason
    assert "below 0.5" in gates.decide(at_least, below, None).reason


def test_a_relative_threshold_looks_at_the_change() -> None:
    threshold = gates.parse("base - 0.02")
    same = Estimate(0.0, -0.01, 0.01, 50)
    assert gates.decide(threshold, None, same).passed
    assert not gates.decide(gates.parse("base"), Estimate(0.9, 0.9, 0.9, 50), same).passed


def test_what_was_not_measured_does_not_pass() -> None:
    assert not gates.decide(gates.parse(0), None, None).passed
    assert not gates.decide(gates.parse(0), Estimate(1, None, None, 1), None).passed
