"""The steps of a recipe that change all rows in one way: `map` and `repair`.

Knows rows in their normal form, some at a time. The audit's own search finds the rows that a repair
looks at, so that most rows are not decoded.
"""

from collections.abc import Callable, Iterator, Sequence
from functools import partial
from itertools import accumulate
from typing import Any

import numpy as np
import orjson

from orpo.audit import conditions, edits, markup, personal
from orpo.audit.blocks import Block
from orpo.audit.recipe import Map, RepairTexts
from orpo.audit.selection import Mapper
from orpo.audit.texts import Row, Turn
from orpo.rows.thoughts import without_thought

OnText = Callable[[str], str]
OnRow = Callable[[Row], Row]


def mapper(step: Map | RepairTexts) -> Mapper:
    """The change that a step makes. Its calls raise ValueError for a pattern that RE2 can't use."""
    if isinstance(step, RepairTexts):
        return _repair(step)
    match step.action:
        case "system":
            return partial(_changed, _everywhere, partial(_with_system, step.text))
        case "strip":
            return partial(_changed, _everywhere, _on_texts(str.strip, _parts(step)))
        case "replace":
            return partial(_replaced, step)
        case "thoughts":
            return partial(_changed, _with_thoughts, _without_thoughts)
        case "mask":
            codes = frozenset(personal.FORMS)
            return partial(_changed, _named(personal.found, codes), _on_texts(personal.masked))


def _repair(step: RepairTexts) -> Mapper:
    # ftfy is imported where it is needed.
    from orpo.audit import repairs  # noqa: PLC0415

    code = step.finding
    if code in personal.FORMS:
        mask = partial(personal.masked, codes=(code,))
        return partial(_changed, _named(personal.found, {code}), _on_texts(mask))
    on_row: dict[str, OnRow] = {
        "mojibake": _on_texts(repairs.with_encoding),
        "control_character": _on_texts(repairs.without_control_characters),
        "control_token": repairs.without_control_tokens,
    }
    return partial(_changed, _named(markup.found, {code}), on_row[code])


# --- which rows -------------------------------------------------------------------------------


def _everywhere(rows: Sequence[bytes]) -> Iterator[int]:
    yield from range(len(rows))


def _with_thoughts(rows: Sequence[bytes]) -> Iterator[int]:
    for index, row in enumerate(rows):
        if b'"reasoning_content"' in row or b"<think>" in row:
            yield index


def _named(
    found: Callable[[Block], Iterator[tuple[str, int]]], codes: set[str] | frozenset[str]
) -> Callable[[Sequence[bytes]], Iterator[int]]:
    """The rows in which the audit finds one of these."""

    def look(rows: Sequence[bytes]) -> Iterator[int]:
        starts = np.fromiter(accumulate(map(len, rows[:-1]), initial=0), np.int64)
        yield from sorted({index for code, index in found(Block(0, b"".join(rows), starts))
                           if code in codes})  # fmt: skip

    return look


# --- what becomes of them ---------------------------------------------------------------------


def _changed(
    which: Callable[[Sequence[bytes]], Iterator[int]], change: OnRow, rows: Sequence[bytes]
) -> dict[int, bytes | None]:
    made = {}
    for index in which(rows):
        value = orjson.loads(rows[index])
        after = change(value)
        if after != value:
            made[index] = _written(after)
    return made


def _written(row: Row) -> bytes | None:
    return None if edits.flaw(row) else orjson.dumps(row, option=orjson.OPT_APPEND_NEWLINE)


def _parts(step: Map) -> tuple[str, ...]:
    return edits.PARTS if step.field in (None, "any") else (step.field,)


def _on_texts(change: OnText, parts: Sequence[str] = edits.PARTS) -> OnRow:
    """The change of a row in which each message of some parts is changed."""

    def on_turn(turn: Turn) -> Turn:
        return {**turn, "content": change(turn.get("content") or "")}

    return lambda row: {**row, **{name: row[name] and [*map(on_turn, row[name])] for name in parts}}


def _with_system(text: str | None, row: Row) -> Row:
    rest = list(row["prompt"])
    while rest and rest[0]["role"] == "system":
        del rest[0]
    return {**row, "prompt": [{"role": "system", "content": text}, *rest] if text else rest}


def _without_thoughts(row: Row) -> Row:
    answers: dict[str, Any] = {
        name: row[name] and [*map(without_thought, row[name])] for name in ("chosen", "rejected")
    }
    return {**row, **answers}


def _replaced(step: Map, rows: Sequence[bytes]) -> dict[int, bytes | None]:
    """All texts at once, which RE2 wants."""
    values = [orjson.loads(row) for row in rows]
    places = [
        (index, turn)
        for index, value in enumerate(values)
        for name in _parts(step)
        for turn in value[name] or ()
    ]
    texts = [turn.get("content") or "" for _, turn in places]
    pattern, replacement = step.pattern or "", step.replacement or ""
    after = conditions.replaced(pattern, replacement, texts, ignore_case=bool(step.ignore_case))
    touched = set()
    for (index, turn), before, text in zip(places, texts, after, strict=True):
        if text != before:
            turn["content"] = text
            touched.add(index)
    return {index: _written(values[index]) for index in sorted(touched)}
