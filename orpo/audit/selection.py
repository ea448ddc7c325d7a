"""The rows that the steps of a recipe have left so far, and their changes.

Rows stay in their files and are read one by one. Between two steps, only how often each row is
taken (one byte a row) and the changes of single rows are kept; a change of all rows writes them
into a file of the scratch folder. Knows rows in their normal form; knows no step that chooses rows.
"""

from collections.abc import Callable, Iterable, Iterator, Sequence
from copy import copy
from itertools import islice
from pathlib import Path
from typing import Any

import numpy as np
import orjson
from numpy.typing import NDArray

from orpo.audit import edits, found
from orpo.audit.recipe import Edit, Step
from orpo.audit.refusals import refused
from orpo.audit.sources import Source
from orpo.rows.limits import CHUNK_BYTES
from orpo.rows.rows import count_lines

BATCH_ROWS, BATCH_BYTES = 1000, 2**23
TELL_ROWS = 2000
PREVIEW_BYTES = 2**27  # of each file

Counts = NDArray[np.uint8]
Places = NDArray[np.intp]
Flags = NDArray[np.bool_]
Tell = Callable[[int, int], None]
# Changed rows by their index among some rows; None for one that is dropped.
Mapper = Callable[[Sequence[bytes]], dict[int, bytes | None]]


class Selection:
    """The rows of some files, the first of which the recipe is for. A row's place is its index
    among the rows of all files.

    `counts` [n] says how often each row is taken; `changes` are those of single rows, by the row's
    place. `scratch` is a folder for changed rows. At most `limit` rows of each file are read;
    `share` is the share of all rows that is. `tell` is called with the number of rows that the
    step has read, and the number that it will read.
    """

    def __init__(
        self,
        sources: Sequence[Source],
        scratch: Path,
        limit: int | None = None,
        tell: Tell = lambda _read, _total: None,
    ) -> None:
        self.sources, self.scratch, self.tell = sources, scratch, tell
        # Where each source's rows are now: a change of all rows writes them again.
        self.paths = [source.rows for source in sources]
        whole = [count_lines(path) for path in self.paths]
        self.sizes = whole if limit is None else [_within(path, limit) for path in self.paths]
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
        """Yield place, source and bytes of each row that is taken, as it is in its file."""
        total = len(self.counts)
        for number, (path, size) in enumerate(zip(self.paths, self.sizes, strict=True)):
            start = int(self.starts[number])
            counts = self.counts[start : start + size]
            if not counts.any():
                continue
            with path.open("rb", CHUNK_BYTES) as file:
                rows = zip(counts.tobytes(), islice(file, size), strict=False)
                for place, (count, row) in enumerate(rows, start):
                    if place % TELL_ROWS == 0:
                        self.tell(place, total)
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

    def groups(self) -> Iterator[list[tuple[int, int, bytes]]]:
        """The same, some rows at a time."""
        group, size_bytes = list[tuple[int, int, bytes]](), 0
        for each in self.rows():
            group.append(each)
            size_bytes += len(each[2])
            if len(group) == BATCH_ROWS or size_bytes > BATCH_BYTES:
                yield group
                group, size_bytes = [], 0
        if group:
            yield group

    def batches(self) -> Iterator[list[dict[str, Any]]]:
        """The rows, decoded, some at a time."""
        for group in self.groups():
            yield [orjson.loads(row) for _, _, row in group]

    # --- changing all rows --------------------------------------------------------------------

    def rewrite(self, at: int, change: Mapper) -> int:
        """Change all rows, for the `at`-th step from 0; return how many are other rows now.

        Rows that the change drops are no longer taken. Raises OSError.
        """
        paths = [self.scratch / f"{at}-{number}.rows" for number in range(len(self.paths))]
        n_changed = 0
        files = [path.open("wb", CHUNK_BYTES) for path in paths]
        try:
            written = self.starts[:-1].tolist()
            for group in self.groups():
                changed = change([row for _, _, row in group])
                for index, (place, number, before) in enumerate(group):
                    row = changed.get(index, before)
                    # An empty line in place of each row that is not taken, so that places stay.
                    files[number].write(b"\n" * (place - written[number]) + (row or b"\n"))
                    written[number] = place + 1
                    n_changed += int(self.counts[place]) if row and index in changed else 0
                dropped = [group[index][0] for index, row in changed.items() if row is None]
                self.counts[dropped] = 0
        finally:
            for file in files:
                file.close()
        self.paths, self.changes = paths, {}
        return n_changed

    def tidy(self) -> None:
        """Remove the files of the scratch folder that no later step reads."""
        for path in self.scratch.glob("*.rows"):
            if path not in self.paths:
                path.unlink()

    def as_it_is(self) -> "Selection":
        """A copy that later steps do not change, as long as the scratch folder is not tidied."""
        same = copy(self)
        same.counts = self.counts.copy()
        same.changes = {place: list(changes) for place, changes in self.changes.items()}
        return same

    # --- what a recipe names ------------------------------------------------------------------

    def named(
        self, at: int, step: Step, number: int, code: str
    ) -> tuple[Places, found.Places | None]:
        """The places of the rows of a finding in a source, and their groups, for the `at`-th step
        from 0. Raises Failure where findings are not known.
        """
        source = self.sources[number]
        if source.found is None:
            why = f"the rows of findings are not known for {source.file_id}."
            raise refused(at, step, None, why, "Upload the file again, so that it is audited.")
        places, groups = found.read(source.found, code)
        known = places < self.sizes[number]
        kept = places[known].astype(np.intp) + int(self.starts[number])
        return kept, None if groups is None else groups[known]

    def places_of(self, at: int, step: Step, lines: Sequence[int]) -> Places:
        """The places of some lines of the first file, for the `at`-th step from 0. Raises Failure
        for a line without a row.
        """
        with self.sources[0].rows.open("rb", CHUNK_BYTES) as file:
            rows = islice(file, self.sizes[0])
            known = np.fromiter(map(edits.line_of, rows), np.int64, self.sizes[0])
        order = np.argsort(known, kind="stable")
        known = known[order]
        wanted = np.unique(np.array(lines, np.int64))
        first = np.searchsorted(known, wanted, "left")
        n_found = np.searchsorted(known, wanted, "right") - first
        if self.is_whole:
            self._require_one(at, step, wanted, n_found)
        return order[first[n_found > 0]]

    def _require_one(self, at: int, step: Step, lines: NDArray[np.int64], n_found: Places) -> None:
        for line, n_rows in zip(lines.tolist(), n_found.tolist(), strict=True):
            if n_rows == 1:
                continue
            name = self.sources[0].file_id
            why = f"line {line} of {name} holds {n_rows or 'no'} accepted rows."
            key = "line" if isinstance(step, Edit) else "lines"
            raise refused(at, step, key, why, "Name a line that holds one accepted row.")


def _within(path: Path, limit: int) -> int:
    """How many rows a preview reads."""
    n_rows = size_bytes = 0
    with path.open("rb", CHUNK_BYTES) as file:
        for row in islice(file, limit):
            size_bytes += len(row)
            if n_rows and size_bytes > PREVIEW_BYTES:
                break
            n_rows += 1
    return n_rows
