"""Texts of a row, as several findings need them: folded, so that white space and case don't count.

Knows the normal form of a row.
"""

from collections.abc import Iterator, Sequence
from typing import Any

import orjson

Turn = dict[str, Any]
Row = dict[str, Any]

# ASCII only: one pass over the bytes, without a Python call for each character.
LOWER = bytes(range(256)).lower()
SPACE = b" \t\n\r\v\f"
PLAIN = 2  # keys of a turn that holds nothing but its role and text
# No text of UTF-8 holds this byte.
BETWEEN = b"\xff"


def folded(text: str) -> bytes:
    """The text as UTF-8 in lower case and without white space, of ASCII both."""
    return text.encode().translate(LOWER, SPACE)


def folded_turns(turns: Sequence[Turn]) -> bytes:
    """Turns as bytes that are equal if their roles, folded texts and other keys are."""
    if len(turns) == 1 and len(turns[0]) == PLAIN:
        return folded(turns[0]["content"])
    return BETWEEN.join(part for turn in turns for part in _parts(turn))


def _parts(turn: Turn) -> Iterator[bytes]:
    yield turn["role"].encode()
    yield folded(turn.get("content") or "")
    if len(turn) > PLAIN:
        rest = {key: held for key, held in turn.items() if key not in ("role", "content")}
        yield orjson.dumps(rest, option=orjson.OPT_SORT_KEYS)


def turns_of(row: Row) -> Iterator[Turn]:
    """All turns: of the prompt, the chosen answer and the rejected one."""
    yield from row["prompt"]
    yield from row["chosen"]
    yield from row["rejected"] or ()


def text_of(turns: Sequence[Turn] | None) -> str:
    """The texts of some turns, one below the other."""
    if not turns:
        return ""
    if len(turns) == 1:
        return turns[0].get("content") or ""
    return "\n".join(turn.get("content") or "" for turn in turns)
