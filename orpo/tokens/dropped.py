"""Pairs that can't be trained on: how many by reason, and a sentence for each reason.

Knows reasons and hints; knows nothing of how a pair is tokenised.
"""

from collections import Counter, defaultdict
from dataclasses import dataclass, field
from typing import Any

from orpo.contract.failures import Code, Failure
from orpo.contract.score import Problem
from orpo.rows.formats import Reject

LINES = 100

# By reason: what to do where no pair is left, and the field that decides it.
LENGTH = ("Raise max_length, set overlong to truncate_prompt, or bring other pairs.", "max_length")
OTHER = ("Bring other pairs.", "training_file")
HINTS = {
    "prompt_too_long": LENGTH,
    "identical_after_truncation": LENGTH,
    "special_token": (
        "Take such strings out of the texts, or set special_tokens to escape.",
        "special_tokens",
    ),
    "unknown_token": (
        "Take such strings out of the texts, or choose a base model that has these tokens.",
        "training_file",
    ),
    "template": (
        "Take what it refuses out of the rows, or train a base model whose template takes it.",
        "training_file",
    ),
    "answer_lost": (
        "Take such text out, set reasoning to strip, or train a base whose template keeps it.",
        "training_file",
    ),
    "tools": (
        "Take tools out of the rows, or train a base model whose template shows them.",
        "training_file",
    ),
    "same_trained_turns": ("Set turns to all, or bring pairs whose last turns differ.", "turns"),
    "no_rejected": (
        "Bring rows with a rejected answer, or train with the method supervised.",
        "training_file",
    ),
}


@dataclass
class Dropped:
    """The dropped pairs by reason. `reasons` holds the line of the first pair of each reason, and
    the sentence that says why it was dropped; `lines` those of the first hundred.
    """

    counts: Counter[str] = field(default_factory=Counter)
    reasons: dict[str, dict[str, Any]] = field(default_factory=dict)
    lines: defaultdict[str, list[int]] = field(default_factory=lambda: defaultdict(list))

    def add(self, line: int, reject: Reject) -> None:
        """Count a pair."""
        self.counts[reject.code] += 1
        self.reasons.setdefault(reject.code, {"line": line, "message": reject.message})
        if len(self.lines[reject.code]) < LINES:
            self.lines[reject.code].append(line)


class Problems(Dropped):
    """The same, with the reason of each pair by its line."""

    def __init__(self) -> None:
        super().__init__()
        self.of: dict[int, Problem] = {}

    def add(self, line: int, reject: Reject) -> None:
        super().add(line, reject)
        self.of[line] = problem_of(reject)


def problem_of(reject: Reject) -> Problem:
    """A rejected pair's reason as verbs write it."""
    return Problem(code=reject.code, message=str(reject))


def hint_of(code: str) -> str:
    """What to do about pairs that were dropped for this reason."""
    return HINTS.get(code, OTHER)[0]


def nothing_left(counts: Counter[str], reasons: dict[str, dict[str, Any]]) -> Failure:
    """The error of a file of which no pair can be trained on; its hint is that of the most common
    reason.
    """
    numbers = ", ".join(f"{n} {reason}" for reason, n in counts.items())
    sentences = [
        f"None of {counts.total()} pairs can be trained on ({numbers or 'the file is empty'}).",
        *(f"Line {first['line']}: {first['message']}" for first in reasons.values()),
    ]
    most = max(counts, key=counts.__getitem__, default="")
    return Failure(Code.BAD_DATA, " ".join(sentences), *HINTS.get(most, OTHER))
