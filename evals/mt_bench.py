"""MT-Bench (Zheng et al. 2023, arXiv 2306.05685): 80 questions of two turns, rated from 1 to 10.

Questions, reference answers and judge prompts are data of the user's installation; here are the
rules: which prompt and temperature a category gets, how a rating is read, and the scores.
"""

import re
from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from typing import Any

from evals import statistics
from evals.prompts import BadPrompt
from evals.statistics import Estimate

TEMPERATURES = {
    "writing": 0.7,
    "roleplay": 0.7,
    "extraction": 0.0,
    "math": 0.0,
    "coding": 0.0,
    "reasoning": 0.0,
    "stem": 0.1,
    "humanities": 0.1,
}
WITH_REFERENCE = frozenset({"math", "reasoning", "coding"})
RATINGS = (
    re.compile(r"\[\[(\d+\.?\d*)\]\]"),
    re.compile(r"\[(\d+\.?\d*)\]"),
    re.compile(r"Rating: (\d+)"),
)
LOWEST, HIGHEST = 1, 10
TURNS = 2


@dataclass(frozen=True)
class Question:
    """A row of the official file; `references` has the reference answer to each turn, if known."""

    key: int
    category: str
    turns: tuple[str, str]
    references: tuple[str, ...]


@dataclass(frozen=True)
class Judged:
    """A turn of a question with its rating; None if the judge's reply had none."""

    question: int
    category: str
    turn: int
    rating: float | None


@dataclass(frozen=True)
class Scores:
    """Mean ratings. `unparsed` and `doubled` turns are in none of them."""

    mean: Estimate | None
    by_turn: dict[int, Estimate]
    by_category: dict[str, Estimate]
    unparsed: int
    doubled: int


def read(row: Mapping[str, Any]) -> Question:
    """Read a row of the official question file: `question_id`, `category`, `turns`, and perhaps
    `reference`, a list of texts. Raises BadPrompt with what is wrong.
    """
    key, category, turns = (row.get(name) for name in ("question_id", "category", "turns"))
    if not isinstance(key, int) or not isinstance(category, str):
        raise BadPrompt("A row needs `question_id`, a whole number, and `category`, a text.")
    asked, references = _texts(turns), _texts(row.get("reference") or [])
    if asked is None or len(asked) != TURNS:
        raise BadPrompt(f"`turns` is a list of {TURNS} texts.")
    if references is None or len(references) > TURNS:
        raise BadPrompt(f"`reference` is a list of at most {TURNS} texts.")
    return Question(key, category, (asked[0], asked[1]), references)


def _texts(value: Any) -> tuple[str, ...] | None:
    is_list = isinstance(value, list) and all(isinstance(text, str) for text in value)
    return tuple(value) if is_list else None


def judge_prompt(category: str, turn: int) -> str:
    """Return the name of the official judge prompt for a category's first or second turn."""
    kind = "single-math-v1" if category in WITH_REFERENCE else "single-v1"
    return kind if turn == 1 else f"{kind}-multi-turn"


def rating(reply: str) -> float | None:
    """Read the first rating, in the official order of patterns; None if there is none in 1 to 10.

    The official reader accepts any number. One outside the scale is no rating here.
    """
    for pattern in RATINGS:
        if found := pattern.search(reply):
            value = float(found[1])
            return value if LOWEST <= value <= HIGHEST else None
    return None


def scores(turns: Iterable[Judged], seed: int = 0) -> Scores:
    """Return the means; both turns of a question stay together in the bootstrap.

    A turn that was judged twice, with two ratings, is counted in `doubled` and left out: which of
    them is right can't be known.
    """
    kept, unparsed, doubled = _once(turns)
    return Scores(
        mean=_mean(kept, seed),
        by_turn={n: m for n in (1, 2) if (m := _mean([t for t in kept if t.turn == n], seed))},
        by_category={
            name: mean
            for name in sorted({turn.category for turn in kept})
            if (mean := _mean([turn for turn in kept if turn.category == name], seed))
        },
        unparsed=unparsed,
        doubled=doubled,
    )


def _once(turns: Iterable[Judged]) -> tuple[list[Judged], int, int]:
    by_turn: dict[tuple[int, int], set[Judged]] = {}
    for turn in turns:
        by_turn.setdefault((turn.question, turn.turn), set()).add(turn)
    single = [next(iter(found)) for found in by_turn.values() if len(found) == 1]
    rated = [turn for turn in single if turn.rating is not None]
    return rated, len(single) - len(rated), len(by_turn) - len(single)


def _mean(turns: Iterable[Judged], seed: int) -> Estimate | None:
    by_question: dict[int, list[float]] = {}
    for turn in turns:
        if turn.rating is not None:
            by_question.setdefault(turn.question, []).append(turn.rating)
    return statistics.mean(by_question, seed)
