"""Reads accepted rows in blocks of some 64 KB: their bytes, and their values once wanted.

Knows the normal form's files (rows and their offsets), and not what is wrong with a row.
"""

from collections.abc import Iterator
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path
from typing import Any

import numpy as np
import orjson
from numpy.typing import NDArray

Offsets = NDArray[np.uint64]
Row = dict[str, Any]

# So that the values of a block stay in the processor's cache: with 2 MB, a scan takes 1.4 times as
# long.
BLOCK_BYTES = 2**16
OFFSET_TYPE = "<u8"


@dataclass(frozen=True)
class Block:
    """Whole rows: `raw` are their bytes, `starts` [n] where each begins in it, and `first` is the
    place of the first row among the accepted ones.
    """

    first: int
    raw: bytes
    starts: NDArray[np.int64]

    @cached_property
    def rows(self) -> list[Row]:
        """The rows in normal form."""
        # One array is decoded in less time than its rows are one by one.
        return orjson.loads(b"[%b]" % self.raw.strip().replace(b"\n", b","))

    def rows_at(self, positions: list[int]) -> list[int]:
        """Which rows of the block hold these positions of `raw`, ascending, each once."""
        if not positions:
            return []
        found = np.searchsorted(self.starts, np.asarray(positions), side="right") - 1
        return np.unique(found).tolist()


def read_offsets(path: Path) -> Offsets:
    """The position of each accepted row in its file, one unsigned 64-bit number a row."""
    return np.fromfile(path, dtype=OFFSET_TYPE)


def blocks(path: Path, offsets: Offsets, first: int, last: int) -> Iterator[Block]:
    """Yield the rows from place `first` to before `last`, in blocks of about 64 KB or one row."""
    size_bytes = path.stat().st_size
    with path.open("rb") as file:
        while first < last:
            start = int(offsets[first])
            # A number of the same type: for another one, NumPy converts all offsets each time.
            limit = np.uint64(start + BLOCK_BYTES)
            past = int(np.searchsorted(offsets[:last], limit, side="right"))
            past = max(past, first + 1)
            end = int(offsets[past]) if past < len(offsets) else size_bytes
            file.seek(start)
            raw = file.read(end - start)
            yield Block(first, raw, (offsets[first:past] - offsets[first]).astype(np.int64))
            first = past


def rows_of(path: Path, offsets: Offsets, places: list[int]) -> Iterator[Row]:
    """Yield the rows at these places, in this order."""
    with path.open("rb") as file:
        for place in places:
            file.seek(int(offsets[place]))
            yield orjson.loads(file.readline())
