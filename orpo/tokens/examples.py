"""Tokenised examples on disk: written once, then memory-mapped.

Knows the shape of an `Example`; knows nothing of how one is made. Writing and reading hold only a
few examples in memory, however many there are.

Shapes: E examples, N tokens of all of them.
"""

import json
import os
import shutil
import tempfile
from collections import Counter
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any, overload

import numpy as np
from numpy.typing import NDArray

from orpo.tokens.tokenize import Example

IDS, MASKS, ROWS, ABOUT = "ids.bin", "masks.bin", "rows.bin", "about.json"
# Where an example's tokens begin and how long its parts are; `rejected` is -1 where there is none.
ROW = np.dtype(
    [
        ("line", "<i8"), ("start", "<i8"), ("prefix", "<i4"), ("chosen", "<i4"),
        ("rejected", "<i4"), ("truncated", "?"),
    ]
)  # fmt: skip

Tokenised = tuple[list[Example], Counter[str], dict[str, Any]]


@dataclass(frozen=True)
class Examples(Sequence[Example]):
    """A folder's examples, each read on access."""

    ids_N: NDArray[np.int32]
    masks_N: NDArray[np.bool_]
    rows_E: NDArray[Any]
    references_E2: NDArray[np.float64] | None = None

    @classmethod
    def read(cls, folder: Path) -> "Examples":
        """Open what `write` made."""
        return cls(
            _open(folder / IDS, np.dtype("<i4")),
            _open(folder / MASKS, np.dtype("?")),
            _open(folder / ROWS, ROW),
        )

    def with_references(self, sums_E2: NDArray[np.float64]) -> "Examples":
        """The same, each with the reference's log-probs of both its answers."""
        return replace(self, references_E2=sums_E2)

    def longest_E(self) -> NDArray[np.int64]:
        """Tokens of each example's longer sequence."""
        tails = np.maximum(self.rows_E["chosen"], self.rows_E["rejected"])
        return (self.rows_E["prefix"] + tails).astype(np.int64)

    def tokens_E(self, *, rejected: bool) -> NDArray[np.int64]:
        """Tokens computed for each example, its prefix once (`Example.n_computed`)."""
        parts = ("prefix", "chosen", "rejected") if rejected else ("prefix", "chosen")
        sizes = (self.rows_E[part].clip(min=0) for part in parts)
        return sum(sizes, np.zeros(len(self), np.int64))

    def __len__(self) -> int:
        return len(self.rows_E)

    @overload
    def __getitem__(self, at: int) -> Example: ...
    @overload
    def __getitem__(self, at: slice) -> list[Example]: ...

    def __getitem__(self, at: int | slice) -> Example | list[Example]:
        if isinstance(at, slice):
            return [self[each] for each in range(*at.indices(len(self)))]
        line, start, *sizes, truncated = self.rows_E[at].tolist()
        ends = [start + sum(max(size, 0) for size in sizes[: n + 1]) for n in range(3)]
        places = list(zip([start, *ends], ends, strict=False))
        prefix, chosen, rejected = (self.ids_N[first:end].tolist() for first, end in places)
        masks = [self.masks_N[first:end].tolist() for first, end in places]
        return Example(
            line=line,
            prefix=prefix,
            chosen=chosen,
            rejected=rejected if sizes[2] >= 0 else None,
            prefix_mask=masks[0],
            chosen_mask=masks[1],
            rejected_mask=masks[2],
            truncated=truncated,
            reference=None if self.references_E2 is None else tuple(self.references_E2[at]),
        )


def write(folder: Path, parts: Iterable[Tokenised]) -> None:
    """Write the results of `tokenize_pairs`, part by part; `folder` is complete once all files are
    there.

    Concurrent processes write the same content, so the last writer may win, and no file is removed
    while another process reads it.
    """
    folder.parent.mkdir(parents=True, exist_ok=True)
    temporary = Path(tempfile.mkdtemp(prefix=f"{folder.name}.", suffix=".tmp", dir=folder.parent))
    try:
        about = _write(temporary, parts)
        (temporary / ABOUT).write_text(json.dumps(about))
        for path in temporary.iterdir():
            with path.open("rb") as file:
                os.fsync(file.fileno())
        folder.mkdir(exist_ok=True)
        for name in (IDS, MASKS, ROWS, ABOUT):  # ABOUT last: it holds the others' sizes
            (temporary / name).replace(folder / name)
    finally:
        shutil.rmtree(temporary, ignore_errors=True)


def is_whole(folder: Path) -> bool:
    """Whether `write` has finished there and all of its files exist."""
    try:
        sizes = json.loads((folder / ABOUT).read_text())["size_bytes"]
        return all((folder / name).stat().st_size == size for name, size in sizes.items())
    except (OSError, ValueError, KeyError):
        return False


def about(folder: Path) -> tuple[Counter[str], dict[str, Any]]:
    """The number of dropped rows by reason, and the statistics, of all parts together."""
    found = json.loads((folder / ABOUT).read_text())
    return Counter(found["dropped"]), found["stats"]


def _write(folder: Path, parts: Iterable[Tokenised]) -> dict[str, Any]:
    dropped: Counter[str] = Counter()
    stats: dict[str, Any] = {}
    start = 0
    with (
        (folder / IDS).open("wb") as ids,
        (folder / MASKS).open("wb") as masks,
        (folder / ROWS).open("wb") as rows,
    ):
        for examples, of_part, stats_of_part in parts:
            dropped += of_part
            stats = _sum(stats, stats_of_part)
            for example in examples:
                ids.write(np.array([*_tokens(example)], "<i4").tobytes())
                masks.write(np.array([*_masks(example)], "?").tobytes())
                rows.write(np.array([_row(example, start)], ROW).tobytes())
                start += example.n_tokens
    sizes = {path.name: path.stat().st_size for path in folder.iterdir()}
    return {"dropped": dropped, "stats": stats, "size_bytes": sizes}


def _tokens(example: Example) -> Iterator[int]:
    yield from example.prefix
    yield from example.chosen
    yield from example.rejected or ()


def _masks(example: Example) -> Iterator[bool]:
    yield from example.prefix_mask
    yield from example.chosen_mask
    yield from example.rejected_mask


def _row(example: Example, start: int) -> tuple[Any, ...]:
    rejected = -1 if example.rejected is None else len(example.rejected)
    sizes = (len(example.prefix), len(example.chosen), rejected)
    return (example.line, start, *sizes, example.truncated)


def _sum(left: dict[str, Any], right: dict[str, Any]) -> dict[str, Any]:
    """Numbers are added and objects merged; for any one value, the first part that has one
    counts.
    """

    def both(before: Any, value: Any) -> Any:
        if isinstance(value, int):
            return value + (before or 0)
        if isinstance(value, dict):
            found: dict[str, Any] = before or {}
            return found | {name: one for name, one in value.items() if name not in found}
        return before or value

    return {name: both(left.get(name), value) for name, value in right.items()}


def _open(path: Path, dtype: np.dtype[Any]) -> NDArray[Any]:
    if path.stat().st_size == 0:  # an empty file can't be mapped
        return np.empty(0, dtype)
    return np.memmap(path, dtype, mode="r")
