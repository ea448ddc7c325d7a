"""Tells what a recipe would do, from the first rows of its files."""

from collections.abc import Iterator, Sequence
from itertools import islice
from pathlib import Path
from typing import Any

import numpy as np
import orjson

from orpo.audit import edits, steps
from orpo.audit.recipe import Edit, Map, RepairTexts, Split, Step, Swap, parts
from orpo.audit.selection import Selection
from orpo.audit.sources import Source

# A preview reads so many rows of each file at most, and shows so many changed rows of a step.
PREVIEW_ROWS, SHOWN_ROWS, SHOWN_CHARS = 5000, 3, 2000


def preview(sources: Sequence[Source], recipe: Sequence[Step], scratch: Path) -> dict[str, Any]:
    """Return `{exact, rows_read, held_out, steps: [...]}`, each step with `{step, rows_before,
    rows_after, rows_changed, changed}`.

    `changed` are the first three rows that a step drops or changes, `{line, before, after}` in
    normal form, with long texts cut. If a file has more than 5,000 rows or 128 MiB, only these are
    read and `exact` is False. `held_out` is the number of held-out rows of a split, else None.
    `scratch` is a folder that the caller removes. Raises Failure like `make`, but not for a recipe
    that leaves no row.
    """
    rows = Selection(sources, scratch, PREVIEW_ROWS)
    recipe = next(parts(recipe))
    done = [_applied(rows, at, step) for at, step in enumerate(recipe)]
    last = done[-1]
    held_out = last["rows_before"] - last["rows_after"] if isinstance(recipe[-1], Split) else None
    read = sum(rows.sizes)
    return {"exact": rows.is_whole, "rows_read": read, "held_out": held_out, "steps": done}


def _applied(rows: Selection, at: int, step: Step) -> dict[str, Any]:
    before = rows.as_it_is()
    n_changed = steps.apply(rows, at, step)
    return {
        "step": step.step,
        "rows_before": before.n_rows,
        "rows_after": rows.n_rows,
        "rows_changed": n_changed,
        "changed": _shown(before, rows, step),
    }


def _shown(before: Selection, after: Selection, step: Step) -> list[dict[str, Any]]:
    """The first rows that the step dropped or changed."""
    places = set(np.flatnonzero(after.counts < before.counts)[:SHOWN_ROWS].tolist())
    if isinstance(step, Edit | Swap | Map | RepairTexts):
        places.update(islice(_changed(before, after), SHOWN_ROWS))
    first = sorted(places)[:SHOWN_ROWS]
    was, now = _rows_at(before, first), _rows_at(after, first)
    return [
        {
            "line": edits.line_of(was[place]),
            "before": _cut(was[place]),
            "after": _cut(now[place]) if place in now and now[place] != was[place] else None,
        }
        for place in first
    ]


def _changed(before: Selection, after: Selection) -> Iterator[int]:
    """The places of the rows that are taken still, and are other rows now."""
    was = before.rows()
    for place, _, row in after.rows():
        old = next(row for at, _, row in was if at == place)
        if old != row:
            yield place


def _rows_at(rows: Selection, places: Sequence[int]) -> dict[int, bytes]:
    """The rows at some places, those of them that are taken."""
    some = rows.as_it_is()
    some.counts[:] = 0
    some.counts[places] = np.minimum(rows.counts[places], 1)
    return {place: row for place, _, row in some.rows()}


def _cut(row: bytes) -> dict[str, Any]:
    """The pair of a row, with long texts cut."""
    value = orjson.loads(row)
    return {
        name: value[name] and [_cut_message(message) for message in value[name]]
        for name in edits.PARTS
    }


def _cut_message(message: dict[str, Any]) -> dict[str, Any]:
    content = message["content"]
    if len(content) <= SHOWN_CHARS:
        return message
    return {**message, "content": f"{content[:SHOWN_CHARS]}…"}
