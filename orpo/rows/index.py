"""Where each accepted row begins in the file of such rows, and whose scores contradict the pair.

Filled while a file is validated: the scores stand in columns that the normal form leaves out. Knows
columns and positions, not text.
"""

import math
import sys
from array import array
from pathlib import Path
from typing import Any

# Pairs of columns with a number for each answer; a higher number is better.
SCORES = (
    ("score_chosen", "score_rejected"),
    ("chosen_score", "rejected_score"),
    ("chosen_rating", "rejected_rating"),
    ("rating_chosen", "rating_rejected"),
    ("chosen_reward", "rejected_reward"),
    ("reward_chosen", "reward_rejected"),
)
PAIR_KEYS = 3  # a row with no more keys than a pair needs has no score
SCORE_KEYS = frozenset((*(key for pair in SCORES for key in pair), "margin"))


class Index:
    """What is known of each accepted row beside its normal form.

    `offsets` are positions in bytes. `contradicting` and `tied` are places among accepted rows
    whose scores prefer the rejected answer, or none. `end_bytes` is where the last row ends.
    """

    def __init__(self) -> None:
        self.offsets = array("Q")
        self.contradicting = array("I")
        self.tied = array("I")
        self.end_bytes = 0

    def add(self, size_bytes: int, value: dict[str, Any]) -> None:
        """Count the next accepted row: its size in the file, and the row as it was uploaded."""
        if len(value) > PAIR_KEYS and not value.keys().isdisjoint(SCORE_KEYS):
            preference = preferred(value)
            if preference is not None and preference <= 0:
                (self.tied if preference == 0 else self.contradicting).append(len(self.offsets))
        self.offsets.append(self.end_bytes)
        self.end_bytes += size_bytes

    def extend(self, later: "Index") -> None:
        """Add the rows of a later part of the file."""
        n, start_bytes = len(self.offsets), self.end_bytes
        self.contradicting.extend(n + place for place in later.contradicting)
        self.tied.extend(n + place for place in later.tied)
        self.offsets.extend(start_bytes + offset for offset in later.offsets)
        self.end_bytes += later.end_bytes

    def write_offsets(self, path: Path) -> None:
        """Write the offsets, eight bytes each, the lowest byte first. Raises OSError."""
        offsets = self.offsets
        if sys.byteorder == "big":
            offsets = self.offsets[:]
            offsets.byteswap()
        with path.open("wb") as file:
            offsets.tofile(file)


def preferred(value: dict[str, Any]) -> float | None:
    """How much more the row's own scores rate the chosen answer; None without such scores."""
    for good, bad in SCORES:
        if good in value and bad in value:
            high, low = _number(value[good]), _number(value[bad])
            if high is not None and low is not None:
                return high - low
    margin = _number(value.get("margin"))
    # Some files hold a setting of their own under this name; none is negative.
    return margin if margin is not None and margin < 0 else None


def _number(value: Any) -> float | None:
    """The value as a finite number, or None."""
    if isinstance(value, float):
        return value if math.isfinite(value) else None
    # An integer can be too large for a float.
    is_integer = isinstance(value, int) and not isinstance(value, bool)
    return float(value) if is_integer and abs(value) < sys.maxsize else None
