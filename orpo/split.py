"""Which rows of a set are held out: prompt by prompt, repeatable from a seed.

Knows prompts only; the workers and the core split by it alike.
"""

import json
import random
from collections import Counter
from collections.abc import Iterable

from orpo.shapes import Message


def hold_out(
    prompts: Iterable[list[Message]], fraction: float, at_most: int, seed: int
) -> set[int]:
    """The places of the rows to hold out, given each row's prompt: a fraction, and `at_most`.

    Rows with one prompt stay on one side, or the held-out figures would be flattered.
    """
    keys = [json.dumps(prompt, sort_keys=True) for prompt in prompts]
    chosen = _choose(Counter(keys), min(at_most, round(fraction * len(keys))), seed)
    return {place for place, key in enumerate(keys) if key in chosen}


def _choose(sizes: Counter[str], wanted: int, seed: int) -> set[str]:
    keys = sorted(sizes)
    random.Random(f"{seed}/held-out").shuffle(keys)  # noqa: S311  a split, not a secret
    chosen: set[str] = set()
    for key in keys:
        if sizes[key] <= wanted:
            chosen.add(key)
            wanted -= sizes[key]
    return chosen
