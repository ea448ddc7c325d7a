"""Tells what a recipe would do, from the first rows of its files. Writes nothing that stays."""

from collections.abc import Sequence
from typing import Any

import numpy as np
import orjson

from orpo.audit import edits, steps
from orpo.audit.recipe import Edit, Split, Step, Swap, parts
from orpo.audit.selection import Counts, Selection
from orpo.audit.sources import Source

# A preview reads so many rows of each file at most, and shows so many changed rows of a step.
PREVIEW_ROWS, SHOWN_ROWS, SHOWN_CHARS = 5000, 3, 2000


def preview(sources: Sequence[Source], recipe: Sequence[Step]) -> dict[str, Any]:
    """Return `{exact, rows_read, held_out, steps: [{step, rows_before, rows_after, changed}]}`.

    `changed` are the first three rows that a step drops or changes, `{line, before, after}` in
    normal form, with long texts cut. If a file has more than 5,000 rows, only these are read and
    `exact` is False. `held_out` is the number of held-out rows of a split, else None. Raises
    Failure like `make`, but not for a recipe that leaves no row.
    """
    rows = Selection(sources, PREVIEW_ROWS)
    recipe = next(parts(recipe))
    done, touched = list[dict[str, Any]](), list[list[int]]()
    for at, step in enumerate(recipe):
        counts = rows.counts.copy()
        before = rows.n_rows
        steps.apply(rows, at, step)
        touched.append(_touched(rows, counts, at, step))
        done.append({"step": step.step, "rows_before": before, "rows_after": rows.n_rows})
    _show(rows, touched, done)
    last = done[-1]
    held_out = last["rows_before"] - last["rows_after"] if isinstance(recipe[-1], Split) else None
    read = sum(rows.sizes)
    return {"exact": rows.is_whole, "rows_read": read, "held_out": held_out, "steps": done}


def _touched(rows: Selection, counts: Counts, at: int, step: Step) -> list[int]:
    """The places of the first rows that the step dropped or changed."""
    if isinstance(step, Edit | Swap):
        found_places = sorted(
            place
            for place, changes in rows.changes.items()
            if changes[-1][0] == at and rows.counts[place]
        )
    else:
        found_places = np.flatnonzero(rows.counts < counts)[:SHOWN_ROWS].tolist()
    return found_places[:SHOWN_ROWS]


def _show(rows: Selection, touched: list[list[int]], done: list[dict[str, Any]]) -> None:
    """Give each step its `changed` rows."""
    wanted = {place for places in touched for place in places}
    rows.counts[:] = 0
    rows.counts[sorted(wanted)] = 1
    stored = {place: row for place, _, row in rows.stored()}
    for at, (places, step) in enumerate(zip(touched, done, strict=True)):
        step["changed"] = [
            _shown(stored[place], rows.changes.get(place, []), at) for place in places
        ]


def _shown(row: bytes, changes: list[edits.Change], at: int) -> dict[str, Any]:
    before = edits.changed(row, [change for change in changes if change[0] < at])
    is_change = any(change[0] == at for change in changes)
    until = [change for change in changes if change[0] <= at]
    after = _cut(edits.changed(row, until)) if is_change else None
    return {"line": edits.line_of(row), "before": _cut(before), "after": after}


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
