"""The rows that the steps of a recipe have left so far, and their changes.

Rows stay in their files and are read one by one. Between two steps, only how often each row is
taken (one byte a row) and the changes of single rows are kept. Knows rows in their normal form;
knows no step that chooses rows.
"""

from collections.abc import Iterable, Iterator, Sequence
from itertools import islice
from typing import Any

import numpy as np
import orjson
from numpy.typing import NDArray

from orpo.audit import edits, found
from orpo.audit.sources import Source
from orpo.contract.failures import Code, Failure
from orpo.rows.limits import CHUNK_BYTES
from orpo.rows.rows import count_lines

BATCH_ROWS, BATCH_BYTES = 1000, 2**23

Counts = NDArray[np.uint8]
Places = NDArray[np.intp]
Flags = NDArray[np.bool_]


class Selection:
    """The rows of some files, the first of which the recipe is for. A row's place is its index
    among the rows of all files.

    `counts` [n] says how often each row is taken; `changes` are those of single rows, by the row's
    place. At most `limit` rows of each file are read; `share` is the share of all rows that is.
    """

    def __init__(self, sources: Sequence[Source], limit: int | None = None) -> None:
        self.sources = sources
        whole = [count_lines(source.rows) for source in sources]
        self.sizes = [min(size, limit) if limit is not None else size for size in whole]
        self.starts = np.cumsum([0, *self.sizes])
        self.share = sum(self.sizes) / max(sum(whole), 1)
        self.counts: Counts = np.zeros(self.starts[-1], np.uint8)
        self.counts[: self.sizes[0]] = 1
        self.changes: dict[int, list[edits.Change]] = {}

    @property
    def is_whole(self) -> bool:
        return self.share == 1

    @property
    def n_rows(self) -> int:
        return int(self.counts.sum(dtype=np.int64))

    def taken(self) -> Places:
        """The places of the rows that are taken at least once, ascending."""
        return np.flatnonzero(self.counts)

    def each(self) -> Places:
        """The places of the rows, as often as each is taken."""
        taken = self.taken()
        return np.repeat(taken, self.counts[taken])

    def keep(self, each: Places, kept: Flags) -> None:
        """Drop all but the `kept` of `each`, the places of the rows with repetitions."""
        self.counts = np.bincount(each[kept], minlength=len(self.counts)).astype(np.uint8)

    def per_row(self, values: Iterable[int], kind: type[Any]) -> NDArray[Any]:
        """One value for each row that is taken, repeated as often as the row is."""
        taken = self.taken()
        return np.repeat(np.fromiter(values, kind, len(taken)), self.counts[taken])

    # --- reading ------------------------------------------------------------------------------

    def stored(self) -> Iterator[tuple[int, int, bytes]]:
        """Yield place, source and bytes of each row that is taken, as it was in its file."""
        for number, (source, size) in enumerate(zip(self.sources, self.sizes, strict=True)):
            start = int(self.starts[number])
            counts = self.counts[start : start + size]
            if not counts.any():
                continue
            with source.rows.open("rb", CHUNK_BYTES) as file:
                rows = zip(counts.tobytes(), islice(file, size), strict=False)
                for place, (count, row) in enumerate(rows, start):
                    if count:
                        yield place, number, row

    def rows(self) -> Iterator[tuple[int, int, bytes]]:
        """The same with the changes that the steps have made."""
        if not self.changes:
            yield from self.stored()
            return
        for place, number, row in self.stored():
            of_row = self.changes.get(place)
            yield place, number, edits.changed(row, of_row) if of_row else row

    def batches(self) -> Iterator[list[dict[str, Any]]]:
        """The rows, decoded, some at a time."""
        batch, size_bytes = list[dict[str, Any]](), 0
        for _, _, row in self.rows():
            batch.append(orjson.loads(row))
            size_bytes += len(row)
            if len(batch) == BATCH_ROWS or size_bytes > BATCH_BYTES:
                yield batch
                batch, size_bytes = [], 0
        if batch:
            yield batch

    # --- what a recipe names ------------------------------------------------------------------

    def named(self, at: int, number: int, code: str) -> tuple[Places, found.Places | None]:
        """The places of the rows of a finding in a source, and their groups, for the `at`-th step
        from 0. Raises Failure where findings are not known.
        """
        source = self.sources[number]
        if source.found is None:
            message = f"The rows of findings are not known for {source.file_id}."
            hint = "Upload the file again, so that it is audited."
            raise Failure(Code.BAD_DATA, message, hint, f"recipe.{at}")
        places, groups = found.read(source.found, code)
        known = places < self.sizes[number]
        kept = places[known].astype(np.intp) + int(self.starts[number])
        return kept, None if groups is None else groups[known]

    def places_of(self, at: int, lines: Sequence[int]) -> Places:
        """The places of some lines of the first file. Raises Failure for a line without a row."""
        with self.sources[0].rows.open("rb", CHUNK_BYTES) as file:
            rows = islice(file, self.sizes[0])
            known = np.fromiter(map(edits.line_of, rows), np.int64, self.sizes[0])
        order = np.argsort(known, kind="stable")
        known = known[order]
        wanted = np.unique(np.array(lines, np.int64))
        first = np.searchsorted(known, wanted, "left")
        n_found = np.searchsorted(known, wanted, "right") - first
        if self.is_whole:
            self._require_one(at, wanted, n_found)
        return order[first[n_found > 0]]

    def _require_one(self, at: int, lines: NDArray[np.int64], n_found: Places) -> None:
        for line, n_rows in zip(lines.tolist(), n_found.tolist(), strict=True):
            if n_rows == 1:
                continue
            name = self.sources[0].file_id
            message = f"Line {line} of {name} holds {n_rows or 'no'} accepted rows."
            hint = "Name a line that holds one accepted row."
            raise Failure(Code.BAD_DATA, message, hint, f"recipe.{at}")
