"""Whether a file is ready to train on: a judgement, and the sentences it rests on.

Knows counts and severities; knows no row.
"""

from collections.abc import Sequence
from enum import StrEnum
from typing import NamedTuple

from orpo.audit.kinds import KINDS, Severity
from orpo.audit.lengths import Length

FEW_PAIRS = 30
MANY_DROPPED = 0.1  # of the rows
MANY_ERRORS = 0.1  # of the accepted rows, by one finding
SOME_WARNINGS = 0.01
ONE_PROMPT = 0.5  # of the accepted rows
BY_LENGTH = 0.75
BY_WORDS = 0.9


class Judgement(StrEnum):
    """What to do with a file: train on it, look at it first, or repair it first."""

    READY = "ready"
    CHECK = "check"
    NOT_READY = "not_ready"


class Counts(NamedTuple):
    """Rows of a file: read, accepted, and those of the most common prompt."""

    rows: int
    accepted: int
    most_common_prompt: int
    prompts: int


class Verdict(NamedTuple):
    """The judgement; `reasons` are sentences, those that weigh most first."""

    verdict: Judgement
    reasons: list[str]


def judge(counts: Counts, found: dict[str, int], length: Length | None) -> Verdict:
    """Judge a file by its counts, the rows of each finding by code, and its length bias."""
    not_ready, check = _of_counts(counts)
    for code, rows in found.items():
        severity, share = KINDS[code].severity, rows / max(counts.accepted, 1)
        sentence = f"{_rows(rows)} of {counts.accepted} ({share:.1%}): {KINDS[code].message}"
        if severity is Severity.ERROR and share >= MANY_ERRORS:
            not_ready.append(sentence)
        elif severity is Severity.ERROR or (
            severity is Severity.WARNING and share >= SOME_WARNINGS
        ):
            check.append(sentence)
    check += _of_length(length)
    reasons = not_ready + check
    if not_ready:
        return Verdict(Judgement.NOT_READY, reasons)
    if check:
        return Verdict(Judgement.CHECK, reasons)
    return Verdict(Judgement.READY, [_ready(counts)])


def _ready(counts: Counts) -> str:
    return f"{_rows(counts.accepted)} with {counts.prompts} different prompts, and no error."


def _of_counts(counts: Counts) -> tuple[list[str], list[str]]:
    not_ready, check = [], []
    accepted, dropped = counts.accepted, counts.rows - counts.accepted
    if accepted < FEW_PAIRS:
        not_ready.append(
            f"Only {_rows(accepted)} can be used. With fewer than {FEW_PAIRS}, a run learns these "
            "pairs by heart."
        )
    if counts.prompts == 1 and accepted > 1:
        not_ready.append("All rows have the same prompt: the model learns nothing about others.")
    elif accepted > 1 and counts.most_common_prompt >= ONE_PROMPT * accepted:
        share = counts.most_common_prompt / accepted
        check.append(f"One prompt stands in {share:.0%} of the rows.")
    if dropped > MANY_DROPPED * counts.rows:
        check.append(
            f"{dropped} of {_rows(counts.rows)} were dropped, which is more than "
            f"{MANY_DROPPED:.0%}. The report says why."
        )
    return not_ready, check


def _of_length(length: Length | None) -> Sequence[str]:
    reasons = []
    if length is None:
        return reasons
    by_length, by_words = length.length_only_accuracy, length.bag_of_words_accuracy
    if by_length is not None and by_length >= BY_LENGTH:
        reasons.append(
            f"A classifier that sees only the lengths of the answers finds the chosen one in "
            f"{by_length:.0%} of {length.n_tested} pairs: the model may learn length alone."
        )
    if by_words is not None and by_words >= BY_WORDS:
        reasons.append(
            f"A classifier that sees only single words finds the chosen answer in {by_words:.0%} "
            f"of {length.n_tested} pairs: a few words may give the preference away."
        )
    return reasons


def _rows(n: int) -> str:
    return "1 row" if n == 1 else f"{n} rows"
