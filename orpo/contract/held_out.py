"""Which pairs are held out: a share of one file by prompt, or a draw from a file of their own.

Repeatable from a seed. Workers and the core both use it. Knows prompts only.
"""

import hashlib
import json
import random
from collections.abc import Iterable, Mapping, Sequence

# The messages of a prompt, each with its role and content.
Prompt = Sequence[Mapping[str, object]]

ABOVE_ALL = 2**64  # digests have 8 bytes


def hold_out(prompts: Iterable[Prompt], fraction: float, at_most: int, seed: int) -> set[int]:
    """The places of the rows to hold out, given each row's prompt: a fraction, and `at_most`.

    Rows with the same prompt stay on one side; otherwise the held-out figures would be too good.
    Prompts are taken in the order of their digests; one whose rows no longer fit is skipped. Only
    the first `at_most` prompts are remembered, and about as many rows of each, so memory does not
    grow with the set.
    """
    places: dict[int, list[int]] = {}
    n_rows, limit = 0, ABOVE_ALL
    for place, prompt in enumerate(prompts):
        n_rows += 1
        digest = _digest(prompt, seed)
        if digest >= limit:
            continue
        of_prompt = places.setdefault(digest, [])
        if len(of_prompt) <= at_most:  # one more than fits is enough to know
            of_prompt.append(place)
        if len(places) > 2 * at_most:  # twice, so that sorting is rare
            places = {digest: places[digest] for digest in sorted(places)[:at_most]}
            limit = max(places, default=-1) + 1
    wanted = min(at_most, round(fraction * n_rows))
    chosen: set[int] = set()
    for digest in sorted(places):
        if len(places[digest]) <= wanted - len(chosen):
            chosen.update(places[digest])
    return chosen


def draw(rows: int, at_most: int, seed: int) -> set[int]:
    """The places of the rows to hold out of a validation file of `rows` rows: all, or `at_most`."""
    # Not used for anything secret.
    return set(random.Random(seed).sample(range(rows), min(rows, at_most)))  # noqa: S311


def _digest(prompt: Prompt, seed: int) -> int:
    """A number for a prompt; the order of these numbers differs for each seed."""
    text = f"{seed}/{json.dumps(prompt, sort_keys=True)}"
    return int.from_bytes(hashlib.blake2b(text.encode(), digest_size=8).digest())
