"""One part of many rows at once, such as their chosen answers: its texts, and the folded ones.

Most parts are a single turn of text. They are folded together, without a Python call for each.
"""

from collections.abc import Sequence
from typing import Any, NamedTuple

from orpo.audit.texts import LOWER, PLAIN, SPACE, Row, Turn, folded_turns, text_of


class Side(NamedTuple):
    """A part of rows [n]: `texts` [n] and `folded` [n] are what `text_of` and `folded_turns` give.

    `others` are the indices of rows whose part is not one turn of text alone, or is missing.
    """

    texts: list[str]
    folded: list[bytes]
    others: list[int]


class Sides(NamedTuple):
    """The three parts of rows."""

    prompt: Side
    chosen: Side
    rejected: Side


def sides(rows: Sequence[Row]) -> Sides:
    """The parts of rows in their normal form."""
    return Sides(*(side([row[name] for row in rows]) for name in Sides._fields))


def side(parts: Sequence[Sequence[Turn] | None]) -> Side:
    """One part of rows, None where a row lacks it."""
    found, others = _plain(parts), []
    if found is None:
        texts = [
            turns[0]["content"] if turns and len(turns) == 1 and len(turns[0]) == PLAIN else None
            for turns in parts
        ]
        others = [index for index, text in enumerate(texts) if text is None]
        found = [text or "" for text in texts]
    # An accepted text holds no NUL (`orpo.rows.values.text`).
    folded = "\0".join(found).encode().translate(LOWER, SPACE).split(b"\0")
    for index in others:
        found[index], folded[index] = text_of(parts[index]), folded_turns(parts[index] or ())
    return Side(found, folded[: len(found)], others)


def _plain(parts: Sequence[Any]) -> list[str] | None:
    """The texts if each part is one turn of text alone, which takes half the time to see."""
    try:
        turns = [turn for (turn,) in parts]
    except (TypeError, ValueError):
        return None
    return [turn["content"] for turn in turns] if {*map(len, turns)} <= {PLAIN} else None
