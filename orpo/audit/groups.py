"""The steps of a recipe that look at rows that belong together: deduplication, and the split by
prompt.
"""

import hashlib
from collections.abc import Iterable

import numpy as np
from numpy.typing import NDArray

from orpo.audit import draws, edits, found
from orpo.audit.recipe import Deduplicate, Split
from orpo.audit.selection import Places, Selection

Digests = NDArray[np.uint64]


def deduplicate(rows: Selection, at: int, step: Deduplicate) -> None:
    """Keep the first of rows that belong together, once. Raises Failure where the groups of a
    finding are not known.
    """
    if step.code is not None:
        for number in range(len(rows.sources)):
            _keep_first(rows, *rows.named(at, step, number, step.code))
        return
    bytes_of = edits.prompt_bytes if step.by == "prompt" else edits.pair_bytes
    taken = rows.taken()
    _, first = np.unique(_digests(bytes_of(row) for _, _, row in rows.rows()), return_index=True)
    rows.counts[:] = 0
    rows.counts[taken[first]] = 1


def _keep_first(rows: Selection, places: Places, groups: found.Places | None) -> None:
    if groups is None:
        return
    left = rows.counts[places] > 0
    places, groups = places[left], groups[left]
    _, first = np.unique(groups, return_index=True)
    dropped = np.ones(len(places), np.bool_)
    dropped[first] = False
    rows.counts[places[dropped]] = 0


def _digests(parts_of_rows: Iterable[bytes]) -> Digests:
    """A number of 64 bits for each: of 1 M different ones, two agree with p = 3e-8."""
    blake = hashlib.blake2b
    packed = (int.from_bytes(blake(part, digest_size=8).digest()) for part in parts_of_rows)
    return np.fromiter(packed, np.uint64)


def split(rows: Selection, step: Split) -> None:
    """Leave the rows of one part: no prompt has rows in both."""
    taken = rows.taken()
    digests = _digests(edits.prompt_bytes(row) for _, _, row in rows.rows())
    prompts, of_row = np.unique(digests, return_inverse=True)
    n_rows = np.bincount(of_row, weights=rows.counts[taken]).astype(np.int64)
    order = np.argsort(draws.mixed(prompts, step.seed), kind="stable")
    left = max(1, round(step.held_out * rows.n_rows))
    held = np.zeros(len(prompts), np.bool_)
    for prompt in order.tolist():
        if n_rows[prompt] <= left:
            held[prompt] = True
            left -= int(n_rows[prompt])
    if len(order) and not held.any():
        held[order[0]] = True
    is_dropped = held[of_row] if step.part == "training" else ~held[of_row]
    rows.counts[taken[is_dropped]] = 0
