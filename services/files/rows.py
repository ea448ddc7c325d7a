"""The accepted rows of a file: a page of them, those of a finding, those that hold a text.

Knows bytes and places; `orpo` decides what a row is and which rows a finding names. A place is the
index of a row among the accepted ones, from 0.
"""

import io
import time
from collections.abc import Iterator, Mapping, Sequence
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass
from typing import IO, Any, cast

import numpy as np
import orjson

from models import File
from orpo.audit import found
from orpo.audit.found import Named, Places
from orpo.contract.deep_audit import FINDINGS
from services.files import files, judged
from services.files.keys import keys_of
from services.platform import storage
from services.platform.errors import Conflict

OFFSET_BYTES = 8
# What one request may search: about a second of reading. The answer says where it stopped.
SEARCH_BYTES = 2**28
SEARCH_S = 2.0


@dataclass(frozen=True)
class Wanted:
    """A page of rows. `offset` counts all rows, or the rows of the `finding`."""

    offset: int = 0
    limit: int = 20
    finding: str | None = None
    search: str | None = None


@dataclass(frozen=True)
class Found:
    """A row in its normal form, its `place`, and its `position` in what `Wanted.offset` counts.

    `findings` are codes; `group` is the same number for rows of a finding that belong together.
    """

    row: dict[str, Any]
    place: int
    position: int
    findings: list[str]
    group: int | None


class Lines:
    """The accepted rows of a file, each by its place.

    With a file of offsets (a position in bytes for each row, 8 bytes each, the lowest byte first),
    any place is one seek. Files that an older release has validated have none: their rows are read
    from the start.
    """

    def __init__(self, rows: IO[bytes], offsets: IO[bytes] | None) -> None:
        self._rows, self._offsets, self._next = rows, offsets, 0

    def at(self, place: int) -> bytes:
        """The line of a row; empty past the last one."""
        if place != self._next:
            self._move(place)
        self._next = place + 1
        return self._rows.readline()

    def _move(self, place: int) -> None:
        if self._offsets is not None:
            self._offsets.seek(place * OFFSET_BYTES)
            raw = self._offsets.read(OFFSET_BYTES)
            if len(raw) == OFFSET_BYTES:
                self._rows.seek(int.from_bytes(raw, "little"))
            else:
                self._rows.seek(0, 2)
            return
        if place < self._next:
            self._rows.seek(0)
            self._next = 0
        for _ in range(self._next, place):
            if not self._rows.readline():
                return


class Search:
    """A text that rows may hold, in upper or lower case."""

    def __init__(self, text: str) -> None:
        self._text = text.lower()
        self._spelled = orjson.dumps(self._text)[1:-1]  # as the text stands in JSON
        self._is_ascii = self._text.isascii()

    def may_hold(self, line: bytes) -> bool:
        """Whether the bytes of a row hold the text, perhaps in a name or across an escape: much
        faster than to parse the row.
        """
        if self._is_ascii:
            return self._spelled in line.lower()
        return self._spelled in line.decode(errors="replace").lower().encode()

    def is_in(self, row: Mapping[str, Any]) -> bool:
        """Whether a text of the prompt or of an answer holds it."""
        parts = (row.get(part) for part in ("prompt", "chosen", "rejected"))
        return any(self._text in text.lower() for part in parts for text in _texts(part))


def _texts(value: Any) -> Iterator[str]:
    """The texts within messages, apart from their roles."""
    match value:
        case str():
            yield value
        case list():
            for item in value:
                yield from _texts(item)
        case dict():
            for key, item in value.items():
                if key != "role":
                    yield from _texts(item)


class Selection:
    """The rows that fit, as an iterator; each row may have 16 MB, so they are read one by one.

    `total` is the number of rows that `offset` counts, whatever is searched. After the last row,
    `next_offset` is where the next page begins, None at the end; `searched` is the number of rows
    that were searched, and `stopped_early` says that the search reached its limit of bytes or time.
    """

    def __init__(
        self, lines: Lines, wanted: Wanted, findings: Mapping[str, Named], accepted: int
    ) -> None:
        self._lines, self._wanted, self._findings = lines, wanted, findings
        self._places: Sequence[int] = range(accepted)
        self._groups: Places | None = None
        if wanted.finding is not None:
            self._places, self._groups = _together(findings.get(wanted.finding))
        self.total = len(self._places)
        self.next_offset: int | None = None
        self.searched, self.stopped_early = 0, False

    def __iter__(self) -> Iterator[Found]:
        search = Search(self._wanted.search) if self._wanted.search is not None else None
        until, budget, n_found = time.monotonic() + SEARCH_S, SEARCH_BYTES, 0
        for position in range(self._wanted.offset, self.total):
            spent = budget <= 0 or (search is not None and time.monotonic() > until)
            if n_found == self._wanted.limit or spent:
                self.next_offset, self.stopped_early = position, n_found < self._wanted.limit
                return
            place = int(self._places[position])
            line = self._lines.at(place)
            if not line:
                return
            row = _read(line, search)
            if search is not None:
                budget -= len(line)
                self.searched += 1
            if row is not None:
                n_found += 1
                yield Found(row, place, position, self._codes(place), self._group(position))

    def _codes(self, place: int) -> list[str]:
        return [code for code, named in self._findings.items() if _holds(named.places, place)]

    def _group(self, position: int) -> int | None:
        return None if self._groups is None else int(self._groups[position])


def _read(line: bytes, search: Search | None) -> dict[str, Any] | None:
    """The row of a line; None if it does not hold the text that is searched."""
    if search is not None and not search.may_hold(line):
        return None
    row: dict[str, Any] = orjson.loads(line)
    return row if search is None or search.is_in(row) else None


def _holds(places: Places, place: int) -> bool:
    at = int(np.searchsorted(places, place))
    return at < len(places) and int(places[at]) == place


def _together(named: Named | None) -> tuple[Sequence[int], Places | None]:
    """The places of a finding, and each one's group: groups in the order of their first rows, the
    rows of a group next to each other.
    """
    if named is None:
        return (), None
    if named.groups is None:
        return cast("Sequence[int]", named.places), None
    _, group_of = np.unique(named.groups, return_inverse=True)
    first = np.full(len(named.places), np.iinfo(np.uint32).max, np.uint32)
    np.minimum.at(first, group_of, named.places)
    order = np.lexsort((named.places, first[group_of]))
    return cast("Sequence[int]", named.places[order]), named.groups[order]


@contextmanager
def select(record: File, wanted: Wanted, deep_audit: str | None = None) -> Iterator[Selection]:
    """Open a page of the accepted rows of a validated file; `deep_audit` is the id of its newest
    one.

    Raises Conflict if rows of a finding are wanted and the file has no such audit.
    """
    if deep_audit is None and wanted.finding in FINDINGS:
        raise judged.none_of(record.id, "finding")
    findings = _findings(record)
    if deep_audit is not None:
        findings = {**(findings or {}), **judged.named(deep_audit)}
    if findings is None and wanted.finding is not None:
        raise Conflict(
            f"The file `{record.id}` has no audit. Read its report, or upload the file again.",
            param="finding",
            code="file_not_audited",
        )
    accepted = (record.report or {}).get("accepted", 0) if record.rows_key else 0
    with opened(record) as lines:
        yield Selection(lines, wanted, findings or {}, accepted)


@contextmanager
def opened(record: File) -> Iterator[Lines]:
    """Open the accepted rows of a validated file; it may have none."""
    with ExitStack() as files_open:
        if record.rows_key is None:
            yield Lines(io.BytesIO(), None)
            return
        rows: IO[bytes] = files_open.enter_context(files.open_rows(record))
        try:
            offsets = files_open.enter_context(storage.reading(keys_of(record.id).offsets))
        except FileNotFoundError:
            offsets = None
        yield Lines(rows, offsets)


def _findings(record: File) -> Mapping[str, Named] | None:
    """The rows of each finding of a file; None if it has no audit."""
    try:
        with storage.local_copy(keys_of(record.id).audit) as path:
            return found.read_all(path)
    except FileNotFoundError:
        return None
