"""The steps of a recipe that choose rows one by one, or draw them: each is a function of the
selection that it changes.
"""

from typing import Any

import numpy as np

from orpo.audit import by_finding, conditions, draws
from orpo.audit.recipe import Balance, Drop, Filter, Language, Mix, Sample
from orpo.audit.refusals import refused
from orpo.audit.selection import Selection


def mix(rows: Selection, step: Mix) -> None:
    """Take the rows of each file as often as its weight says."""
    weights = {rows.sources[0].file_id: 1.0} | {each.file_id: each.weight for each in step.files}
    for number, (source, size) in enumerate(zip(rows.sources, rows.sizes, strict=True)):
        whole, rest = divmod(weights[source.file_id], 1)
        counts = np.full(size, int(whole), np.uint8)
        counts[draws.draw(round(rest * size), size, step.seed)] += 1
        start = int(rows.starts[number])
        rows.counts[start : start + size] = counts


def filter_(rows: Selection, step: Filter) -> None:
    """Keep or drop the rows for which all conditions hold."""
    hold = conditions.judge(step)
    taken = rows.taken()
    kept = np.empty(len(taken), np.bool_)
    at = 0
    for batch in rows.batches():
        kept[at : at + len(batch)] = hold(batch)
        at += len(batch)
    if step.action == "drop":
        kept = ~kept
    rows.counts[taken[~kept]] = 0


def language(rows: Selection, step: Language) -> None:
    """Keep or drop the rows of some languages."""
    # Takes a moment to import.
    from orpo.audit import languages  # noqa: PLC0415

    wanted = frozenset(step.languages)
    messages = slice(-1, None) if step.field == "prompt" else slice(None)
    taken = rows.taken()
    kept = np.empty(len(taken), np.bool_)
    each = (row for batch in rows.batches() for row in batch)
    for at, row in enumerate(each):
        text = conditions.text_of((row[step.field] or [])[messages])
        name = languages.language(text, step.min_letters)
        is_kept = (name in wanted) == (step.action == "keep")
        kept[at] = step.unknown == "keep" if name == languages.UNKNOWN else is_kept
    rows.counts[taken[~kept]] = 0


def drop(rows: Selection, at: int, step: Drop) -> None:
    """Drop the rows of a finding. Raises Failure if no file has such rows."""
    if step.audits is not None:
        rows.counts[by_finding.places(rows, at, step)] = 0
        return
    n_named = 0
    for number in range(len(rows.sources)):
        named, _ = rows.named(at, step, number, step.finding)
        n_named += len(named)
        rows.counts[named] = 0
    if not n_named and rows.is_whole:
        names = " and ".join(source.file_id for source in rows.sources)
        why = f"the audit of {names} names no row with the finding {step.finding}."
        raise refused(at, step, "finding", why)


def balance(rows: Selection, step: Balance) -> None:
    """Drop rows until the longer answer wins as often as it loses."""
    sides = rows.per_row((side for batch in rows.batches() for side in map(_side, batch)), int)
    wins, loses = np.flatnonzero(sides > 0), np.flatnonzero(sides < 0)
    more, fewer = (wins, loses) if len(wins) > len(loses) else (loses, wins)
    kept = sides == 0
    kept[fewer] = True
    kept[more[draws.draw(len(fewer), len(more), step.seed)]] = True
    rows.keep(rows.each(), kept)


def _side(row: dict[str, Any]) -> int:
    """1 if the chosen answer is longer, -1 if the rejected one is; 0 for the same length."""
    if row["rejected"] is None:
        return 0
    chosen, rejected = (len(conditions.text_of(row[name])) for name in ("chosen", "rejected"))
    return (chosen > rejected) - (chosen < rejected)


def sample(rows: Selection, step: Sample) -> None:
    """Draw rows; of a preview, which reads a share of them, the same share."""
    each = rows.each()
    n_drawn = round((step.fraction or 0) * len(each)) if step.n is None else step.n
    if step.n is not None and not rows.is_whole:
        n_drawn = round(step.n * rows.share)
    kept = np.zeros(len(each), np.bool_)
    kept[draws.draw(max(1, n_drawn), len(each), step.seed)] = True
    rows.keep(each, kept)
