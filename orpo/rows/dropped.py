"""The original text of rows that were dropped, as it stands in the uploaded file.

A row of a file of lines is its line. A row of an array, a table or a Parquet file is its value as
JSON; where it could not be read, the line that it begins on. Knows findings and containers.
"""

import codecs
import json
from collections import defaultdict
from collections.abc import Iterable, Iterator, Sequence
from contextlib import suppress
from dataclasses import dataclass
from pathlib import Path
from typing import Any, BinaryIO

from orpo.rows import limits
from orpo.rows.column_names import Columns, Renamer
from orpo.rows.containers import Container, Kind, container_of
from orpo.rows.messages import Reject
from orpo.rows.row import Finding, Row, Unreadable
from orpo.rows.row_shapes import detect, read, why_no_shape
from orpo.rows.rows import read_rows

SHOWN = 2_000  # characters of a row
BEFORE = SHOWN // 2  # of them before the column at fault, if that is further on


@dataclass(frozen=True)
class Original:
    """At most 2,000 characters of a row, from `first_character` on (from 1); `text` is None if the
    row can't be shown as text.
    """

    text: str | None
    first_character: int = 1


def originals(
    path: Path, filename: str, findings: Sequence[Finding], columns: Columns | None = None
) -> list[Original]:
    """The text of each finding's row, in the order of the findings.

    `columns` is the mapping that the file was validated with. Reads the file up to the last of
    their lines, one row at a time. Raises OSError.
    """
    with path.open("rb", 0) as file, suppress(Unreadable):
        container = container_of(file, filename)
        found = _values(path, filename, container, findings, Renamer(columns))
        left = [at for at in range(len(findings)) if at not in found]
        if container.kind is not Kind.PARQUET:
            found |= _lines(container.open(file), findings, left)
        return [found.get(at, Original(None)) for at in range(len(findings))]
    return [Original(None)] * len(findings)


def _values(
    path: Path,
    filename: str,
    container: Container,
    findings: Sequence[Finding],
    renamed: Renamer,
) -> dict[int, Original]:
    """The value of each finding's row as JSON, by the place of the finding, where it was read."""
    found: dict[int, Original] = {}
    if container.kind is Kind.LINES or not findings:
        return found
    waiting = _by_line(findings, range(len(findings)))
    last = max(waiting)
    for row in read_rows(path, filename):
        if row.line > last:
            break
        at = _finding_of(row, waiting.get(row.line, []), findings, container, renamed)
        if at is not None and row.finding is None:
            found[at] = Original(_json(row.value)[:SHOWN])
    return found


def _finding_of(
    row: Row,
    waiting: list[int],
    findings: Sequence[Finding],
    container: Container,
    renamed: Renamer,
) -> int | None:
    """Take the place of the row's finding out of those that wait for its line.

    Only rows of an array can share a line; the one that was dropped is found by the reason.
    """
    if not waiting:
        return None
    if container.kind is not Kind.ARRAY:
        return waiting.pop(0)
    why = (row.finding.code, row.finding.message) if row.finding else _why(renamed(row.value), row)
    for at in waiting:
        if (findings[at].code, findings[at].message) == why:
            waiting.remove(at)
            return at
    return None


def _why(value: Any, row: Row) -> tuple[str, str] | None:
    """Why a row was dropped, as its finding says it; None if it was not."""
    shape = detect(value)
    if shape is None:
        return "not_a_pair", why_no_shape(value)
    try:
        read(value, shape, row.line)
    except Reject as reject:
        return reject.code, reject.message
    return None


def _json(value: Any) -> str:
    text = json.dumps(value, ensure_ascii=False, default=str)
    return text.encode(errors="backslashreplace").decode()


def _by_line(findings: Sequence[Finding], places: Iterable[int]) -> dict[int, list[int]]:
    waiting: defaultdict[int, list[int]] = defaultdict(list)
    for at in places:
        waiting[findings[at].line].append(at)
    return waiting


def _lines(file: BinaryIO, findings: Sequence[Finding], left: Sequence[int]) -> dict[int, Original]:
    """The lines of the findings at the places `left`, by these places."""
    found: dict[int, Original] = {}
    waiting = _by_line(findings, left)
    with suppress(Unreadable):  # where a damaged file ends
        for number, raw in _numbered(file, max(waiting, default=0)):
            for at in waiting.get(number, ()):
                found[at] = _part(raw, findings[at])
    return found


def _numbered(file: BinaryIO, last: int) -> Iterator[tuple[int, bytes]]:
    """Each line up to the `last`, at most 16 MiB of it, and its number from 1."""
    for number in range(1, last + 1):
        raw = rest = file.readline(limits.MAX_ROW_BYTES)
        if not raw:
            return
        while rest and not rest.endswith(b"\n"):
            rest = file.readline(limits.CHUNK_BYTES)
        yield number, raw


def _part(raw: bytes, finding: Finding) -> Original:
    """The part of a line that shows what is wrong with it."""
    text = raw.removeprefix(codecs.BOM_UTF8).decode(errors="replace").rstrip("\r\n")
    column = finding.column or 1
    start = max(0, column - BEFORE) if column > SHOWN else 0
    return Original(text[start : start + SHOWN], start + 1)
