"""Pairs that a run would cut or leave out: which they are, why, and what helps.

Knows lengths and lines; knows nothing of how a pair is tokenised.
"""

from collections.abc import Sequence
from typing import Any

import numpy as np

from orpo.tokens.dropped import LINES, Dropped, hint_of

# The shares of pairs that may stay longer than the lengths that are suggested.
SHARES = (0, 0.01)


def overlong(
    lengths: Sequence[int], cut_lines: Sequence[int], max_length: int, context: int
) -> dict[str, Any]:
    """How many pairs are `longer` than `max_length`, and how many of them are `trained`, cut, with
    the `lines` of the first hundred of these.

    `lengths` are those of all pairs in tokens, before anything is cut; `context` is the most that
    the base model reads. `repairs` are values of `max_length` under which no pair, or 1 % of the
    pairs, are longer, or as few as the base model allows. `message` is None if no pair is longer.
    """
    longer = sum(length > max_length for length in lengths)
    repairs = _repairs(lengths, max_length, context) if longer else []
    return {
        "longer": longer,
        "trained": len(cut_lines),
        "lines": sorted(cut_lines)[:LINES],
        "message": _message(longer, len(cut_lines), len(lengths), max_length) if longer else None,
        "repairs": repairs,
    }


def _repairs(lengths: Sequence[int], max_length: int, context: int) -> list[dict[str, int]]:
    """Each with the number of pairs that stay longer; none if the base model reads no more."""
    ordered = np.sort(np.array(lengths, np.int64))
    needed = (int(ordered[len(ordered) - 1 - int(share * len(ordered))]) for share in SHARES)
    allowed = dict.fromkeys(min(length, context) for length in needed)
    return [
        {"max_length": length, "longer": int(np.count_nonzero(ordered > length))}
        for length in allowed
        if length > max_length
    ]


def _message(longer: int, trained: int, n: int, max_length: int) -> str:
    pairs = f"{longer} of {n} sampled pairs {'is' if longer == 1 else 'are'} longer than"
    parts = [f"{pairs} {max_length} tokens: {trained} would be trained on, cut, and "]
    parts.append(f"{longer - trained} left out.")
    if trained:
        parts.append(" Cut answers lose their end: the model does not learn to stop there.")
    return "".join(parts)


def left_out(dropped: Dropped) -> list[dict[str, Any]]:
    """The pairs that a run would leave out: of each reason its `code`, how many `pairs`, the first
    hundred `lines`, what is wrong with the first (`message`), and what to do (`hint`).
    """
    return [
        {
            "code": code,
            "pairs": pairs,
            "lines": sorted(dropped.lines[code]),
            "message": dropped.reasons[code]["message"],
            "hint": hint_of(code),
        }
        for code, pairs in dropped.counts.most_common()
    ]
