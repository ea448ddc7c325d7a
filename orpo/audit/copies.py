"""Rows that repeat or contradict each other, from 64-bit hashes of their folded parts.

All of it is sorting and counting of arrays. Two different texts have the same hash with a
probability of 3e-8 in a file of a million rows.
"""

from concurrent.futures import ThreadPoolExecutor
from typing import Any, NamedTuple

import numpy as np
from numpy.typing import NDArray

from orpo.audit.found import Named

Hashes = NDArray[np.uint64]

MANY_ROWS = 5  # rows of one prompt
MANY_PROMPTS = 5  # prompts with one answer
MULTIPLIER = np.uint64(0x9E3779B97F4A7C15)


class Parts(NamedTuple):
    """Hashes [n] of each row's prompt, chosen and rejected answer, folded."""

    prompt: Hashes
    chosen: Hashes
    rejected: Hashes


def found(parts: Parts) -> dict[str, Named]:
    """The rows of each finding: `duplicate`, `contradiction`, `both_sides`, `repeated_prompt` and
    `repeated_answer`.
    """
    prompt, chosen, rejected = parts
    good, bad = mix(prompt, chosen), mix(prompt, rejected)
    pair, exchanged = mix(good, rejected), mix(bad, chosen)
    with ThreadPoolExecutor() as pool:  # NumPy sorts without the GIL
        exchanges = pool.submit(_among, pair, exchanged)
        both_sides = [pool.submit(_among, good, bad), pool.submit(_among, bad, good)]
        twice = pool.submit(_repeated, pair, 2)
        many_rows = pool.submit(_repeated, prompt, MANY_ROWS)
        many_prompts = pool.submit(_has_prompts, prompt, chosen)
    contradicts = exchanges.result() & (chosen != rejected)
    both = both_sides[0].result() | both_sides[1].result()
    return {
        "contradiction": _grouped(np.minimum(pair, exchanged), contradicts),
        "duplicate": _grouped(pair, twice.result()),
        "both_sides": _grouped(prompt, both & ~contradicts & (chosen != rejected)),
        "repeated_prompt": _grouped(prompt, many_rows.result()),
        "repeated_answer": _grouped(chosen, many_prompts.result()),
    }


def firsts(parts: Parts) -> NDArray[np.bool_]:
    """Whether a row [n] is the first of its duplicates."""
    pair = mix(mix(parts.prompt, parts.chosen), parts.rejected)
    first = np.zeros(len(pair), bool)
    first[np.unique(pair, return_index=True)[1]] = True
    return first


def mix(one: Hashes, other: Hashes) -> Hashes:
    """One hash of two, in this order."""
    with np.errstate(over="ignore"):
        mixed = (one ^ (one >> np.uint64(29))) * MULTIPLIER + other
        mixed = (mixed ^ (mixed >> np.uint64(32))) * np.uint64(0xD6E8FEB86659FD93)
    return mixed ^ (mixed >> np.uint64(32))


def _repeated(values: Hashes, times: int) -> NDArray[np.bool_]:
    """Whether each value [n] occurs so many times."""
    # Sorted without their places, which takes a fifth of the time: few values are repeated.
    ordered = np.sort(values)
    again = ordered[times - 1 :]
    return _is_in(values, again[again == ordered[: len(again)]])


def _among(values: Hashes, others: Hashes) -> NDArray[np.bool_]:
    """Whether each value [n] is one of the others."""
    mine = np.sort(values)
    return _is_in(values, mine[_is_in(mine, np.sort(others))])


def _is_in(values: Hashes, ordered: Hashes) -> NDArray[np.bool_]:
    """Whether each value [n] is one of these, which are sorted. It is fast for few, or if the
    values are sorted, too.
    """
    if not len(ordered):
        return np.zeros(len(values), np.bool_)
    places = np.searchsorted(ordered, values)
    return ordered[np.minimum(places, len(ordered) - 1)] == values


def _has_prompts(prompt: Hashes, chosen: Hashes) -> NDArray[np.bool_]:
    """Whether each row's chosen answer [n] is given to many different prompts."""
    may = _repeated(chosen, MANY_PROMPTS)
    _, first = np.unique(mix(prompt[may], chosen[may]), return_index=True)
    answers, prompts = np.unique(chosen[may][first], return_counts=True)
    return _is_in(chosen, answers[prompts >= MANY_PROMPTS])


def _grouped(keys: Hashes, wanted: NDArray[np.bool_]) -> Named:
    """The wanted rows; those with the same key are a group."""
    places = np.flatnonzero(wanted).astype(np.uint32)
    return Named(places, numbered(keys[wanted]))


def numbered(keys: NDArray[Any]) -> NDArray[np.uint32]:
    """Numbers [n] from 0 of the groups with the same key, in the order of their first rows."""
    _, first, inverse = np.unique(keys, return_index=True, return_inverse=True)
    number = np.empty(len(first), np.uint32)
    number[np.argsort(first, kind="stable")] = np.arange(len(first))
    return number[inverse]
