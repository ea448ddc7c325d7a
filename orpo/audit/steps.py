"""Applies one step of a recipe to the selected rows."""

from orpo.audit import by_finding, choices, groups
from orpo.audit.recipe import (
    Balance,
    Deduplicate,
    Drop,
    DropRows,
    Edit,
    Filter,
    Mix,
    Sample,
    Split,
    Step,
    Swap,
)
from orpo.audit.selection import Selection


def apply(rows: Selection, at: int, step: Step) -> None:
    """Apply a step, the `at`-th from 0. Raises Failure if it names what does not exist."""
    match step:
        case Mix():
            choices.mix(rows, step)
        case Filter():
            choices.filter_(rows, step)
        case Drop():
            choices.drop(rows, at, step)
        case Deduplicate():
            groups.deduplicate(rows, at, step)
        case Balance():
            choices.balance(rows, step)
        case Split():
            groups.split(rows, step)
        case Sample():
            choices.sample(rows, step)
        case Edit() | Swap():
            _change(rows, at, step)
        case DropRows():
            rows.counts[rows.places_of(at, step.lines)] = 0


def _change(rows: Selection, at: int, step: Edit | Swap) -> None:
    if isinstance(step, Swap) and step.finding is not None:
        places = by_finding.places(rows, at, step)
    else:
        places = rows.places_of(at, [step.line] if isinstance(step, Edit) else step.lines or [])
    for place in places.tolist():
        rows.changes.setdefault(place, []).append((at, step))
