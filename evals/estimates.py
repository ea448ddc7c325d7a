"""A number with its interval. Apart from `statistics`, so that reading one takes no NumPy."""

from dataclasses import dataclass


@dataclass(frozen=True)
class Estimate:
    """A number with its 95 % interval, from `n` prompts. The interval is None for one prompt."""

    value: float
    low: float | None
    high: float | None
    n: int
