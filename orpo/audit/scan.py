"""Looks at rows once, block by block: marks rows, and keeps a few numbers of each.

What compares rows with each other works on these numbers alone, so that memory stays small.
"""

from array import array
from collections.abc import Callable, Iterable, Sequence
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np
from numpy.typing import NDArray

from orpo.audit import answers, markup, near, personal
from orpo.audit.blocks import Offsets, blocks
from orpo.audit.copies import Parts
from orpo.audit.side import Sides, sides
from orpo.audit.texts import BETWEEN, Row

LAST_LINE = 2**32 - 1
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
        self.line = array("Q")

    def add(self, rows: Sequence[Row], parts: Sides) -> None:
        """Keep the numbers of the next rows."""
        # The hash of bytes has 64 bits and a secret of this run, so that no file can plan for it.
        self.prompt.extend(map(hash, parts.prompt.folded))
        self.chosen.extend(map(hash, parts.chosen.folded))
        self.rejected.extend(map(hash, parts.rejected.folded))
        self.chosen_chars.extend(map(len, parts.chosen.texts))
        self.rejected_chars.extend(map(len, parts.rejected.texts))
        self.line.extend([row["line"] for row in rows])

    def columns(self) -> dict[str, NDArray[Any]]:
        columns = {name: np.asarray(column) for name, column in vars(self).items()}
        return {**columns, "line": np.minimum(self.line, LAST_LINE).astype(np.uint32)}


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
        parts = sides(block.rows)
        numbers.add(block.rows, parts)
        marks.add_all(block.first, answers.found(block.rows, parts))
        marks.add_all(block.first, markup.found(block))
        if with_estimates:
            marks.add_all(block.first, personal.found(block))
            folded = zip(*(part.folded for part in parts), strict=True)
            signatures.append(near.signatures([*map(BETWEEN.join, folded)]))
        tell(block.first + len(block.starts) - first, last - first)
    columns = numbers.columns()
    if with_estimates:
        columns["signature"] = near.joined(signatures)
    return Scanned({code: np.asarray(places) for code, places in marks.places.items()}, columns)
