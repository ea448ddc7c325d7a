"""The original text of rows that were dropped, as it stands in the uploaded file.

A row of a text file is its line. In an array, whose rows may share a line, and in a file that is no
text, it is the row's value as JSON. Knows findings and lines.
"""

import codecs
import json
from collections import defaultdict
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any, BinaryIO

from orpo.rows.formats import Finding, Reject, Row, detect, read, read_rows
from orpo.rows.row_shapes import why_no_shape

SHOWN = 2_000  # characters of a row
BEFORE = SHOWN // 2  # of them before the column at fault, if that is further on
KEPT_BYTES = 16 * 2**20  # of a line; a longer one is no row
CHUNK_BYTES = 2**20
# How files begin whose bytes are no text: gzip, Zstandard, Parquet.
NO_TEXT = (b"\x1f\x8b", b"\x28\xb5\x2f\xfd", b"PAR1")


@dataclass(frozen=True)
class Original:
    """At most 2,000 characters of a row, from `first_character` on (from 1); `text` is None if the
    row can't be shown as text.
    """

    text: str | None
    first_character: int = 1


def originals(path: Path, filename: str, findings: Sequence[Finding]) -> list[Original]:
    """The text of each finding's row. Findings are in the order of their lines.

    Reads the file up to the last of them, in constant memory. Raises OSError.
    """
    if not findings:
        return []
    with path.open("rb", CHUNK_BYTES) as file:
        start = file.read(len(codecs.BOM_UTF8) + 1).removeprefix(codecs.BOM_UTF8)
    found = {} if start.startswith(b"{") else _values(path, filename, findings)
    if not start.startswith(NO_TEXT):
        left = [at for at in range(len(findings)) if at not in found]
        found |= _lines(path, findings, left)
    return [found.get(at, Original(None)) for at in range(len(findings))]


def _values(path: Path, filename: str, findings: Sequence[Finding]) -> dict[int, Original]:
    """The value of each finding's row as JSON, by the place of the finding, where it was read."""
    waiting: defaultdict[int, list[int]] = defaultdict(list)
    for at, finding in enumerate(findings):
        waiting[finding.line].append(at)
    found: dict[int, Original] = {}
    last = findings[-1].line
    for row in read_rows(path, filename):
        if row.line > last:
            break
        places = waiting.get(row.line)
        if places and _is_of(row, findings[places[0]]):
            at = places.pop(0)
            if row.finding is None:
                found[at] = Original(_json(row.value)[:SHOWN])
    return found


def _is_of(row: Row, finding: Finding) -> bool:
    """Whether a row at the finding's line is the one that was dropped for it."""
    if row.finding is not None:
        return row.finding.code == finding.code
    shape = detect(row.value)
    if shape is None:
        return finding.message == why_no_shape(row.value)
    try:
        read(row.value, shape, row.line)
    except Reject as reject:
        return (reject.code, reject.message) == (finding.code, finding.message)
    return False


def _json(value: Any) -> str:
    text = json.dumps(value, ensure_ascii=False, default=str)
    return text.encode(errors="backslashreplace").decode()


def _lines(path: Path, findings: Sequence[Finding], left: Sequence[int]) -> dict[int, Original]:
    """The lines of the findings at the places `left`, by these places."""
    found: dict[int, Original] = {}
    if not left:
        return found
    waiting: defaultdict[int, list[int]] = defaultdict(list)
    for at in left:
        waiting[findings[at].line].append(at)
    last = max(waiting)
    with path.open("rb", CHUNK_BYTES) as file:
        for number, raw in _numbered(file):
            for at in waiting.get(number, ()):
                found[at] = _part(raw, findings[at])
            if number >= last:
                break
    return found


def _numbered(file: BinaryIO) -> Iterator[tuple[int, bytes]]:
    """Each line, at most 16 MiB of it, and its number from 1."""
    number = 0
    while raw := file.readline(KEPT_BYTES):
        number += 1
        rest = raw
        while rest and not rest.endswith(b"\n"):
            rest = file.readline(CHUNK_BYTES)
        yield number, raw


def _part(raw: bytes, finding: Finding) -> Original:
    """The part of a line that shows what is wrong with it."""
    text = raw.removeprefix(codecs.BOM_UTF8).decode(errors="replace").rstrip("\r\n")
    column = finding.column or 1
    start = max(0, column - BEFORE) if column > SHOWN else 0
    return Original(text[start : start + SHOWN], start + 1)
