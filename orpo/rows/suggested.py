"""Suggests a column mapping for a file whose rows fit no shape: guessed from names, then tried.

Knows names that published files use for prompts and answers.
"""

import re
from collections.abc import Callable
from itertools import product
from typing import Any

import orjson

from orpo.rows.column_names import Columns, Renamer

# What columns are called, the likeliest first. Names are compared in lower case, by letters.
GUESSES: dict[str, tuple[str, ...]] = {
    "prompt": (
        "prompt", "question", "query", "instruction", "input", "user", "userprompt", "request",
        "text", "context",
    ),
    "chosen": (
        "chosen", "best", "preferred", "chosenresponse", "chosenanswer", "accepted", "winner",
        "good", "better", "preferredresponse", "preferredanswer", "bestanswer", "bestresponse",
        "goodanswer", "goodresponse", "positive", "pos", "win", "responsechosen", "answerchosen",
    ),
    "rejected": (
        "rejected", "worst", "dispreferred", "rejectedresponse", "rejectedanswer", "refused",
        "loser", "bad", "worse", "dispreferredresponse", "dispreferredanswer", "worstanswer",
        "worstresponse", "badanswer", "badresponse", "negative", "neg", "lose", "responserejected",
        "answerrejected", "nonpreferred", "unpreferred",
    ),
}  # fmt: skip
SAMPLE_ROWS = 20
MAX_SAMPLE_BYTES = 2**16  # a row that is larger is not kept
LETTERS = re.compile(r"[^a-z]")


class Sample:
    """The first rows that fit no shape, as they are in the file."""

    def __init__(self) -> None:
        self.rows: list[dict[str, Any]] = []

    def add(self, value: Any) -> None:
        """Keep a row if it is among the first twenty and not large."""
        if len(self.rows) == SAMPLE_ROWS or not isinstance(value, dict):
            return
        try:
            size_bytes = len(orjson.dumps(value, default=str))
        except TypeError:  # such as a lone surrogate, or a key that is no text
            return
        if size_bytes <= MAX_SAMPLE_BYTES:
            self.rows.append(value)

    def extend(self, later: "Sample") -> None:
        """Add later rows, up to twenty in all."""
        self.rows = [*self.rows, *later.rows][:SAMPLE_ROWS]

    def suggest(self, is_pair: Callable[[Any], bool]) -> Columns | None:
        """The mapping under which the most of these rows are pairs; None if none is.

        `is_pair` says whether a row, under the names that shapes read, is a pair.
        """
        best, most = None, 0
        for columns in self._guesses():
            renamed = Renamer(columns)
            count = sum(is_pair(renamed(row)) for row in self.rows)
            if count > most:
                best, most = columns, count
        return best

    def _guesses(self) -> list[Columns]:
        names = {LETTERS.sub("", key.lower()): key for row in self.rows for key in row}
        found = [
            [names[guess] for guess in guesses if guess in names][:3]
            for guesses in GUESSES.values()
        ]
        return [
            {field: name for field, name in zip(GUESSES, chosen, strict=True) if field != name}
            for chosen in product(*found)
            if len(set(chosen)) == len(chosen)
        ]


def as_option(columns: Columns) -> str:
    """A mapping as the command line takes it: `prompt=question,chosen=best`; as JSON if a name has
    a character that would be read as a part of this form.
    """
    if any(name != name.strip() or {",", "="} & {*name} for name in columns.values()):
        return orjson.dumps(columns).decode()
    return ",".join(f"{field}={name}" for field, name in columns.items())
