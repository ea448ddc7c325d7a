"""Applies a recipe to accepted rows: writes another version of a file, or tells what it would do.

Rows are read one by one, a few times in all. Between two steps, only how often each row is taken
(one byte a row) and the changes of single rows are kept. Knows no database and no storage.
"""

import hashlib
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass, field
from itertools import islice
from pathlib import Path
from typing import Any

import numpy as np
import orjson
from numpy.typing import NDArray

from orpo.audit import conditions, draws, edits, found
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
    parts,
)
from orpo.contract.failures import Code, Failure
from orpo.rows.limits import CHUNK_BYTES
from orpo.rows.rows import count_lines

BATCH_ROWS, BATCH_BYTES = 1000, 2**23
# A preview reads so many rows of each file at most, and shows so many changed rows of a step.
PREVIEW_ROWS, SHOWN_ROWS, SHOWN_CHARS = 5000, 3, 2000

Counts = NDArray[np.uint8]
Places = NDArray[np.intp]
Flags = NDArray[np.bool_]
Digests = NDArray[np.uint64]


@dataclass(frozen=True)
class Source:
    """A file whose rows are taken: its accepted rows, and the rows of its findings (None if they
    are not known).
    """

    file_id: str
    rows: Path
    found: Path | None = None


@dataclass
class State:
    """What the steps have left. `counts` [n] says how often each row is taken; `changes` are those
    of single rows, by the row's place.
    """

    counts: Counts
    changes: dict[int, list[edits.Change]] = field(default_factory=dict)

    @property
    def n_rows(self) -> int:
        return int(self.counts.sum(dtype=np.int64))

    def taken(self) -> Places:
        """The places of the rows that are taken at least once, ascending."""
        return np.flatnonzero(self.counts)

    def keep(self, each: Places, kept: Flags) -> None:
        """Drop all but the `kept` of `each`, the places of the rows with repetitions."""
        self.counts = np.bincount(each[kept], minlength=len(self.counts)).astype(np.uint8)

    def each(self) -> Places:
        """The places of the rows, as often as each is taken."""
        taken = self.taken()
        return np.repeat(taken, self.counts[taken])


class Maker:
    """The rows of some files, the first of which the recipe is for; a step is a method.

    At most `limit` rows of each file are read. `share` is the share of all rows that is read.
    """

    def __init__(self, sources: Sequence[Source], limit: int | None = None) -> None:
        self.sources = sources
        whole = [count_lines(source.rows) for source in sources]
        self.sizes = [min(size, limit) if limit is not None else size for size in whole]
        self.starts = np.cumsum([0, *self.sizes])
        self.share = sum(self.sizes) / max(sum(whole), 1)
        counts = np.zeros(self.starts[-1], np.uint8)
        counts[: self.sizes[0]] = 1
        self.state = State(counts)

    @property
    def is_whole(self) -> bool:
        return self.share == 1

    def apply(self, at: int, step: Step) -> None:
        """Apply a step, the `at`-th from 0. Raises Failure if it names what does not exist."""
        match step:
            case Mix():
                self._mix(step)
            case Filter():
                self._filter(step)
            case Drop():
                self._drop(at, step)
            case Deduplicate():
                self._deduplicate(at, step)
            case Balance():
                self._balance(step)
            case Split():
                self._split(step)
            case Sample():
                self._sample(step)
            case Edit() | Swap():
                self._change(at, step)
            case DropRows():
                self.state.counts[self._places(at, step.lines)] = 0

    # --- reading ------------------------------------------------------------------------------

    def stored(self) -> Iterator[tuple[int, int, bytes]]:
        """Yield place, source and bytes of each row that is taken, as it was in its file."""
        for number, (source, size) in enumerate(zip(self.sources, self.sizes, strict=True)):
            start = int(self.starts[number])
            taken = self.state.counts[start : start + size] > 0
            if not taken.any():
                continue
            with source.rows.open("rb", CHUNK_BYTES) as file:
                rows = zip(taken.tolist(), islice(file, size), strict=False)
                for place, (is_taken, row) in enumerate(rows, start):
                    if is_taken:
                        yield place, number, row

    def rows(self) -> Iterator[tuple[int, int, bytes]]:
        """The same with the changes that the steps have made."""
        changes = self.state.changes
        if not changes:
            yield from self.stored()
            return
        for place, number, row in self.stored():
            of_row = changes.get(place)
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

    def _per_row(self, values: Iterable[int], kind: type[Any]) -> NDArray[Any]:
        """One value for each row that is taken, repeated as often as the row is."""
        taken = self.state.taken()
        return np.repeat(np.fromiter(values, kind, len(taken)), self.state.counts[taken])

    # --- steps --------------------------------------------------------------------------------

    def _mix(self, step: Mix) -> None:
        weights = {self.sources[0].file_id: 1.0} | {
            each.file_id: each.weight for each in step.files
        }
        for number, (source, size) in enumerate(zip(self.sources, self.sizes, strict=True)):
            whole, rest = divmod(weights[source.file_id], 1)
            counts = np.full(size, int(whole), np.uint8)
            counts[draws.draw(round(rest * size), size, step.seed)] += 1
            start = int(self.starts[number])
            self.state.counts[start : start + size] = counts

    def _filter(self, step: Filter) -> None:
        hold = conditions.judge(step)
        taken = self.state.taken()
        kept = np.empty(len(taken), np.bool_)
        at = 0
        for batch in self.batches():
            kept[at : at + len(batch)] = hold(batch)
            at += len(batch)
        if step.action == "drop":
            kept = ~kept
        self.state.counts[taken[~kept]] = 0

    def _drop(self, at: int, step: Drop) -> None:
        n_named = 0
        for number in range(len(self.sources)):
            named, _ = self._named(at, number, step.finding)
            n_named += len(named)
            self.state.counts[named] = 0
        if not n_named and self.is_whole:
            names = " and ".join(source.file_id for source in self.sources)
            message = f"The audit of {names} names no row with the finding {step.finding}."
            raise Failure(Code.BAD_DATA, message, edits.HINT, f"recipe.{at}.finding")

    def _named(self, at: int, number: int, code: str) -> tuple[Places, found.Places | None]:
        """The places of the rows of a finding in a source, and their groups."""
        source = self.sources[number]
        if source.found is None:
            message = f"The rows of findings are not known for {source.file_id}."
            hint = "Upload the file again, so that it is audited."
            raise Failure(Code.BAD_DATA, message, hint, f"recipe.{at}")
        places, groups = found.read(source.found, code)
        known = places < self.sizes[number]
        kept = places[known].astype(np.intp) + int(self.starts[number])
        return kept, None if groups is None else groups[known]

    def _deduplicate(self, at: int, step: Deduplicate) -> None:
        if step.code is not None:
            for number in range(len(self.sources)):
                self._keep_first_of_groups(*self._named(at, number, step.code))
            return
        bytes_of = edits.prompt_bytes if step.by == "prompt" else edits.pair_bytes
        taken = self.state.taken()
        digests = self._digests(bytes_of(row) for _, _, row in self.rows())
        _, first = np.unique(digests, return_index=True)
        self.state.counts[:] = 0
        self.state.counts[taken[first]] = 1

    def _keep_first_of_groups(self, places: Places, groups: found.Places | None) -> None:
        if groups is None:
            return
        left = self.state.counts[places] > 0
        places, groups = places[left], groups[left]
        _, first = np.unique(groups, return_index=True)
        dropped = np.ones(len(places), np.bool_)
        dropped[first] = False
        self.state.counts[places[dropped]] = 0

    @staticmethod
    def _digests(parts_of_rows: Iterable[bytes]) -> Digests:
        """A number of 64 bits for each: of 1 M different ones, two agree with p = 3e-8."""
        blake = hashlib.blake2b
        packed = (int.from_bytes(blake(part, digest_size=8).digest()) for part in parts_of_rows)
        return np.fromiter(packed, np.uint64)

    def _balance(self, step: Balance) -> None:
        sides = self._per_row((side for batch in self.batches() for side in map(_side, batch)), int)
        each = self.state.each()
        wins, loses = np.flatnonzero(sides > 0), np.flatnonzero(sides < 0)
        more, fewer = (wins, loses) if len(wins) > len(loses) else (loses, wins)
        kept = sides == 0
        kept[fewer] = True
        kept[more[draws.draw(len(fewer), len(more), step.seed)]] = True
        self.state.keep(each, kept)

    def _split(self, step: Split) -> None:
        taken = self.state.taken()
        digests = self._digests(edits.prompt_bytes(row) for _, _, row in self.rows())
        prompts, of_row = np.unique(digests, return_inverse=True)
        n_rows = np.bincount(of_row, weights=self.state.counts[taken]).astype(np.int64)
        order = np.argsort(draws.mixed(prompts, step.seed), kind="stable")
        wanted = max(1, round(step.held_out * self.state.n_rows))
        held = np.zeros(len(prompts), np.bool_)
        left = wanted
        for prompt in order.tolist():
            if n_rows[prompt] <= left:
                held[prompt] = True
                left -= int(n_rows[prompt])
        if len(order) and not held.any():
            held[order[0]] = True
        is_dropped = held[of_row] if step.part == "training" else ~held[of_row]
        self.state.counts[taken[is_dropped]] = 0

    def _sample(self, step: Sample) -> None:
        each = self.state.each()
        n_drawn = round((step.fraction or 0) * len(each)) if step.n is None else step.n
        if step.n is not None and not self.is_whole:
            n_drawn = round(step.n * self.share)
        kept = np.zeros(len(each), np.bool_)
        kept[draws.draw(max(1, n_drawn), len(each), step.seed)] = True
        self.state.keep(each, kept)

    def _change(self, at: int, step: Edit | Swap) -> None:
        lines = [step.line] if isinstance(step, Edit) else step.lines
        for place in self._places(at, lines).tolist():
            self.state.changes.setdefault(place, []).append((at, step))

    def _places(self, at: int, lines: Sequence[int]) -> Places:
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


def _side(row: dict[str, Any]) -> int:
    """1 if the chosen answer is longer, -1 if the rejected one is; 0 for the same length."""
    if row["rejected"] is None:
        return 0
    chosen, rejected = (
        len(conditions.text_of(row["chosen"])),
        len(conditions.text_of(row["rejected"])),
    )
    return (chosen > rejected) - (chosen < rejected)


def make(
    sources: Sequence[Source], steps: Sequence[Step], out: Path, max_bytes: int
) -> dict[str, Any]:
    """Write the version to `out`, one row a line, and return `{rows, size_bytes, sha256, steps}`.

    `steps` say how many rows each had and left. The same sources and steps give the same bytes.
    Raises Failure if no row is left, the version has more than `max_bytes`, or a step names a line
    or a finding that does not exist.
    """
    maker = Maker(sources)
    done = []
    for at, step in enumerate(steps):
        before = maker.state.n_rows
        maker.apply(at, step)
        after = maker.state.n_rows
        if not after:
            message = f"Step {at + 1} ({step.step}) leaves no row: it drops all {before}."
            raise Failure(Code.BAD_DATA, message, edits.HINT, f"recipe.{at}")
        done.append({"step": step.step, "rows_before": before, "rows_after": after})
    return {"rows": maker.state.n_rows, "steps": done, **_write(maker, out, max_bytes)}


def _write(maker: Maker, out: Path, max_bytes: int) -> dict[str, Any]:
    names = [source.file_id.encode() for source in maker.sources]
    counts = maker.state.counts
    size_bytes, digest = 0, hashlib.sha256()
    with out.open("wb", CHUNK_BYTES) as file:
        for place, number, row in maker.rows():
            written = edits.stored(row, names[number]) * int(counts[place])
            size_bytes += len(written)
            if size_bytes > max_bytes:
                message = f"The version would have more than the {max_bytes} bytes of a file."
                hint = "Take fewer rows, or raise ODDSMITH_MAX_UPLOAD_BYTES."
                raise Failure(Code.BAD_DATA, message, hint, "recipe")
            digest.update(written)
            file.write(written)
    return {"size_bytes": size_bytes, "sha256": digest.hexdigest()}


def preview(sources: Sequence[Source], steps: Sequence[Step]) -> dict[str, Any]:
    """Return `{exact, rows_read, held_out, steps: [{step, rows_before, rows_after, changed}]}`.

    `changed` are the first three rows that a step drops or changes, `{line, before, after}` in
    normal form, with long texts cut. If a file has more than 5,000 rows, only these are read and
    `exact` is False. `held_out` is the number of held-out rows of a split, else None. Raises
    Failure like `make`, but not for a recipe that leaves no row.
    """
    maker = Maker(sources, PREVIEW_ROWS)
    steps = next(parts(steps))
    done, touched = list[dict[str, Any]](), list[list[int]]()
    for at, step in enumerate(steps):
        counts = maker.state.counts.copy()
        before = maker.state.n_rows
        maker.apply(at, step)
        touched.append(_touched(maker.state, counts, at, step))
        after = maker.state.n_rows
        done.append({"step": step.step, "rows_before": before, "rows_after": after})
    _show(maker, touched, done)
    last = done[-1]
    held_out = last["rows_before"] - last["rows_after"] if isinstance(steps[-1], Split) else None
    read = sum(maker.sizes)
    return {"exact": maker.is_whole, "rows_read": read, "held_out": held_out, "steps": done}


def _touched(state: State, counts: Counts, at: int, step: Step) -> list[int]:
    """The places of the first rows that the step dropped or changed."""
    if isinstance(step, Edit | Swap):
        found_places = sorted(
            place
            for place, changes in state.changes.items()
            if changes[-1][0] == at and state.counts[place]
        )
    else:
        found_places = np.flatnonzero(state.counts < counts)[:SHOWN_ROWS].tolist()
    return found_places[:SHOWN_ROWS]


def _show(maker: Maker, touched: list[list[int]], done: list[dict[str, Any]]) -> None:
    """Give each step its `changed` rows."""
    wanted = {place for places in touched for place in places}
    maker.state.counts[:] = 0
    maker.state.counts[sorted(wanted)] = 1
    rows = {place: row for place, _, row in maker.stored()}
    for at, (places, step) in enumerate(zip(touched, done, strict=True)):
        step["changed"] = [
            _shown(rows[place], maker.state.changes.get(place, []), at) for place in places
        ]


def _shown(row: bytes, changes: list[edits.Change], at: int) -> dict[str, Any]:
    before = edits.changed(row, [change for change in changes if change[0] < at])
    is_change = any(change[0] == at for change in changes)
    until = [change for change in changes if change[0] <= at]
    after = _cut(edits.changed(row, until)) if is_change else None
    return {"line": edits.line_of(row), "before": _cut(before), "after": after}


def _cut(row: bytes) -> dict[str, Any]:
    """The pair of a row, with long texts cut."""
    value = orjson.loads(row)
    return {
        name: value[name] and [_cut_message(message) for message in value[name]]
        for name in edits.PARTS
    }


def _cut_message(message: dict[str, Any]) -> dict[str, Any]:
    content = message["content"]
    if len(content) <= SHOWN_CHARS:
        return message
    return {**message, "content": f"{content[:SHOWN_CHARS]}…"}
