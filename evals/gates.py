"""Whether a model passes: a metric must be at least a number, or near that of its base.

The interval decides, not the value alone: a model passes only if the whole interval does.
"""

import math
import re
from dataclasses import dataclass

from evals.estimates import Estimate

BASE = "base"
_RELATIVE = re.compile(rf"{BASE}(?:\s*([+-])\s*(\d+(?:\.\d*)?|\.\d+))?")


@dataclass(frozen=True)
class Threshold:
    """`number` alone, or what is added to the base's value if it is `relative`."""

    number: float
    relative: bool

    def __str__(self) -> str:
        if not self.relative:
            return f"{self.number:g}"
        if not self.number:
            return BASE
        return f"{BASE} {'+' if self.number > 0 else '-'} {abs(self.number):g}"


@dataclass(frozen=True)
class Decision:
    """Whether the gate is passed, and why."""

    passed: bool
    reason: str


def parse(text: str | float) -> Threshold:
    """Read `0.4`, `base`, `base - 0.02` or `base + 0.1`. Raises ValueError with a sentence."""
    if isinstance(text, str) and (found := _RELATIVE.fullmatch(text.strip())):
        sign, number = found.groups()
        return Threshold(float(number or 0) * (-1 if sign == "-" else 1), relative=True)
    try:
        number = float(text)
    except ValueError:
        number = math.nan
    if not math.isfinite(number):
        raise ValueError(
            f"A threshold is a number, `base`, or `base` plus or minus a number, such as "
            f"`base - 0.02`; not `{text}`."
        )
    return Threshold(number, relative=False)


def decide(threshold: Threshold, value: Estimate | None, change: Estimate | None) -> Decision:
    """Decide on a metric's value, or for a relative threshold on its paired change over the base.

    Not passed: nothing was measured, the whole interval is below the threshold, or the interval
    holds it, so that more prompts are needed to know.
    """
    measured = change if threshold.relative else value
    if measured is None:
        return Decision(False, "Nothing was measured.")
    if measured.low is None or measured.high is None:
        return Decision(False, "One prompt has no interval: evaluate more prompts.")
    what = "The change over the base" if threshold.relative else "The value"
    shown = f"{what} is {measured.value:.3g} ({measured.low:.3g} to {measured.high:.3g})"
    asked = f"{threshold.number:.3g}"
    if measured.low >= threshold.number:
        return Decision(True, f"{shown}, at least {asked}.")
    if measured.high < threshold.number:
        return Decision(False, f"{shown}, below {asked}.")
    return Decision(False, f"{shown}: {asked} is inside the interval. Evaluate more prompts.")
