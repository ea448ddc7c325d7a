"""Applies one step of a recipe to the selected rows."""

from orpo.audit import by_finding, choices, groups, maps
from orpo.audit.recipe import (
    Balance,
    Deduplicate,
    Drop,
    DropRows,
    Edit,
    Filter,
    Language,
    Map,
    Mix,
    RepairTexts,
    Sample,
    Split,
    Step,
    Swap,
)
from orpo.audit.selection import Selection


def apply(rows: Selection, at: int, step: Step) -> int:
    """Apply a step, the `at`-th from 0, and return how many rows it changes (not how many it
    drops). Raises Failure if it names what does not exist.
    """
    match step:
        case Edit() | Swap():
            return _change(rows, at, step)
        case Map() | RepairTexts():
            return rows.rewrite(at, maps.mapper(step))
    _choose(rows, at, step)
    return 0


def _change(rows: Selection, at: int, step: Edit | Swap) -> int:
    if isinstance(step, Swap) and step.finding is not None:
        places = by_finding.places(rows, at, step)
    else:
        lines = [step.line] if isinstance(step, Edit) else step.lines or []
        places = rows.places_of(at, step, lines)
    for place in places.tolist():
        rows.changes.setdefault(place, []).append((at, step))
    return int(rows.counts[places].sum())


def _choose(rows: Selection, at: int, step: Step) -> None:
    """Apply a step that leaves out rows, or takes them more than once."""
    match step:
        case Mix():
            choices.mix(rows, step)
        case Filter():
            choices.filter_(rows, step)
        case Language():
            choices.language(rows, step)
        case Drop():
            choices.drop(rows, at, step)
        case DropRows():
            rows.counts[rows.places_of(at, step, step.lines)] = 0
        case Deduplicate():
            groups.deduplicate(rows, at, step)
        case Balance():
            choices.balance(rows, step)
        case Split():
            groups.split(rows, step)
        case Sample():
            choices.sample(rows, step)
