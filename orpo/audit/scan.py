"""Looks at rows once, block by block: marks rows, and keeps a few numbers of each.

What compares rows with each other works on these numbers alone, so that memory stays small.
"""

from array import array
from collections.abc import Callable, Iterable, Iterator
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np
from numpy.typing import NDArray

from orpo.audit import answers, markup, near, personal
from orpo.audit.blocks import Offsets, blocks
from orpo.audit.copies import Parts
from orpo.audit.texts import BETWEEN, Row, folded_turns, text_of

MARK = "mark/"
COLUMN = "column/"


class Scanned(NamedTuple):
    """Of rows that follow each other: the places of marked rows by code, and columns [n] of
    numbers, among them `signature` [n, near.HASHES] if near duplicates are wanted.
    """

    marks: dict[str, NDArray[np.uint32]]
    columns: dict[str, NDArray[Any]]

    @property
    def parts(self) -> Parts:
        """The hashes of prompts and answers."""
        hashes = (self.columns[name].view(np.uint64) for name in Parts._fields)
        return Parts(*hashes)

    def write(self, path: Path) -> None:
        """Write it for the process that waits for it. Raises OSError."""
        marks = {MARK + code: places for code, places in self.marks.items()}
        columns = {COLUMN + name: column for name, column in self.columns.items()}
        with path.open("wb") as file:
            np.savez(file, allow_pickle=False, **marks, **columns)

    @classmethod
    def read(cls, path: Path) -> "Scanned":
        """Read what `write` wrote. Raises OSError or ValueError."""
        with np.load(path, allow_pickle=False) as held:
            marks = {name[len(MARK) :]: held[name] for name in held if name.startswith(MARK)}
            return cls(
                marks,
                {name[len(COLUMN) :]: held[name] for name in held if name.startswith(COLUMN)},
            )

    @classmethod
    def joined(cls, parts: "list[Scanned]") -> "Scanned":
        """What several processes found, in the order of their rows."""
        codes = dict.fromkeys(code for part in parts for code in part.marks)
        nothing = np.empty(0, np.uint32)
        return cls(
            {
                code: np.concatenate([part.marks.get(code, nothing) for part in parts])
                for code in codes
            },
            {
                name: np.concatenate([part.columns[name] for part in parts])
                for name in parts[0].columns
            },
        )


class Marks:
    """The places of rows by code, ascending, each once."""

    def __init__(self) -> None:
        self.places: dict[str, array[int]] = {}

    def add(self, code: str, place: int) -> None:
        """Mark a row; the rows of a code come in their order."""
        places = self.places.setdefault(code, array("I"))
        if not places or places[-1] != place:
            places.append(place)

    def add_all(self, first: int, found: Iterable[tuple[str, int]]) -> None:
        """Mark rows by their index in a block whose first row has the place `first`."""
        for code, index in sorted(set(found)):
            self.add(code, first + index)


class Numbers:
    """Columns of numbers of each row: hashes of its folded parts, lengths in characters, lines."""

    def __init__(self) -> None:
        self.prompt, self.chosen, self.rejected = array("q"), array("q"), array("q")
        self.chosen_chars, self.rejected_chars = array("I"), array("I")
        self.line = array("I")

    def columns(self) -> dict[str, NDArray[Any]]:
        return {name: np.asarray(column) for name, column in vars(self).items()}


def scan(
    path: Path,
    offsets: Offsets,
    first: int,
    last: int,
    *,
    with_estimates: bool = True,
    tell: Callable[[int, int], None] = lambda _done, _total: None,
) -> Scanned:
    """Look at the rows from place `first` to before `last`.

    Without estimates, only exact findings are made: no near duplicates and no personal data.
    `tell` is called with the number of rows so far, and that of all.
    """
    marks, numbers, signatures = Marks(), Numbers(), []
    for block in blocks(path, offsets, first, last):
        parts = [_look(marks, numbers, block.first + i, row) for i, row in enumerate(block.rows)]
        marks.add_all(block.first, markup.found(block))
        if with_estimates:
            marks.add_all(block.first, personal.found(block))
            signatures.append(near.signatures(parts))
        tell(block.first + len(block.starts) - first, last - first)
    columns = numbers.columns()
    if with_estimates:
        columns["signature"] = near.joined(signatures)
    return Scanned({code: np.asarray(places) for code, places in marks.places.items()}, columns)


def _look(marks: Marks, numbers: Numbers, place: int, row: Row) -> bytes:
    """Mark a row for what it shows by itself, note its numbers, and return its folded text."""
    prompt, good, bad = row["prompt"], row["chosen"], row["rejected"]
    # The hash of bytes has 64 bits and a secret of this run, so that no file can plan for it.
    asked, chosen = folded_turns(prompt), folded_turns(good)
    rejected = folded_turns(bad) if bad else b""
    numbers.prompt.append(hash(asked))
    numbers.chosen.append(hash(chosen))
    numbers.rejected.append(hash(rejected))
    numbers.line.append(min(row["line"], 2**32 - 1))
    text = text_of(good)
    numbers.chosen_chars.append(len(text))
    numbers.rejected_chars.append(len(text_of(bad)))
    for code in _marks_of(row, text, chosen == rejected):
        marks.add(code, place)
    return b"%b%b%b%b%b" % (asked, BETWEEN, chosen, BETWEEN, rejected)


def _marks_of(row: Row, chosen: str, is_same: bool) -> Iterator[str]:
    if is_same:
        yield "whitespace"
    if answers.is_refusal(chosen):
        yield "refusal"
    if answers.is_cut(chosen):
        yield "cut"
    prompt = row["prompt"]
    if answers.repeats(prompt, row["chosen"]) or answers.repeats(prompt, row["rejected"]):
        yield "repeats_prompt"
    if answers.is_out_of_order(row):
        yield "role_order"
