"""The prompts of an evaluation: each once, none empty, and a subset if one is wanted."""

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np


class BadPrompt(ValueError):
    """A row of a prompt file that a suite can't use; the message is a sentence for its owner."""


@dataclass(frozen=True)
class Prompts:
    """What is asked, in the order of the file. `of`: how many prompts the file has, each once;
    `empty` and `repeated`: how many of its rows were left out.
    """

    asked: tuple[str, ...]
    of: int
    empty: int
    repeated: int

    @property
    def is_subset(self) -> bool:
        """True if scores stand for a part of the file only, and must be labelled so."""
        return len(self.asked) < self.of


def draw(texts: Sequence[str], limit: int | None = None, seed: int = 0) -> Prompts:
    """Leave out empty and repeated prompts, and draw `limit` of the others if there are more.

    The same seed and file give the same prompts, and a smaller limit gives a subset of them, so
    that answers are used again. Raises ValueError if no prompt is left or the limit is below 1.
    """
    if limit is not None and limit < 1:
        raise ValueError("The limit of prompts is at least 1.")
    filled = [text for text in texts if text.strip()]
    known = list(dict.fromkeys(filled))
    if not known:
        raise ValueError("The file has no prompt that is not empty.")
    order = np.random.default_rng(seed).permutation(len(known))
    asked = tuple(known[at] for at in np.sort(order[:limit]))
    return Prompts(asked, len(known), len(texts) - len(filled), len(filled) - len(known))
