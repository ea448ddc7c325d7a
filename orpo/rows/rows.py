"""Reads the rows of an uploaded file, one at a time in constant memory; an unreadable row becomes a
finding.

Knows which reader belongs to a container; formats.py knows what a row means.
"""

from collections.abc import Iterator
from contextlib import suppress
from pathlib import Path
from typing import BinaryIO

from orpo.rows import limits
from orpo.rows.containers import Container, Kind, container_of
from orpo.rows.json_array import read_array
from orpo.rows.lines import WHOLE, half_of, read_lines, read_text
from orpo.rows.row import Finding, Half, Row, Unreadable, unread
from orpo.rows.table import read_table

__all__ = ["Finding", "Row", "can_be_halved", "container_name", "count_lines", "read_rows"]


def container_name(path: Path, filename: str) -> str | None:
    """The name of a file's container, such as `jsonl.gz`; None if it is none that is read."""
    with path.open("rb", 0) as file, suppress(Unreadable):
        return container_of(file, filename).name
    return None


def can_be_halved(path: Path, filename: str) -> bool:
    """Whether one half of a file's rows can be read without the other."""
    with path.open("rb", 0) as file, suppress(Unreadable):
        return container_of(file, filename) in (Container(Kind.LINES), Container(Kind.PARQUET))
    return False


def read_rows(
    path: Path, filename: str, half: Half | None = None, *, as_text: bool = False
) -> Iterator[Row]:
    """Yield the rows of a file, whatever its container, which follows from its content; or those
    of one half of a file that `can_be_halved`.

    With `as_text`, the rows of lines or of a table are the texts of its lines. `filename` is the
    uploaded name; it decides where the content fits two containers. At most one row (16 MB) and one
    chunk are held in memory. A byte-order mark and blank lines are skipped. An unreadable row is a
    Row with a finding; so is the place from which on a damaged file can't be read.
    """
    line = 0
    with path.open("rb", 0) as file:
        try:
            container = container_of(file, filename)
            for row in _rows(path, file, container, half, as_text):
                line = row.line
                yield row
        except Unreadable as why:
            yield unread(file.tell(), line + 1, None, why.code, why.message)


def _rows(
    path: Path, file: BinaryIO, container: Container, half: Half | None, as_text: bool
) -> Iterator[Row]:
    if container.kind is Kind.PARQUET:
        # Arrow takes a moment and memory to import.
        from orpo.rows.parquet import read_parquet  # noqa: PLC0415

        yield from read_parquet(path, half)
        return
    stream = container.open(file)
    match container.kind:
        case Kind.ARRAY:
            rows = read_array(stream)
        case _ if as_text:
            rows = read_text(stream)
        case Kind.TABLE:
            rows = read_table(stream, container.delimiter)
        case _:
            rows = read_lines(stream, half_of(stream, half) if half else WHOLE)
    if container.kind is Kind.TABLE or container.packing or container.encoding:
        # Progress is counted in bytes of the file, not in those that they unpack to.
        rows = (row._replace(offset_bytes=file.tell()) for row in rows)
    yield from rows


def count_lines(path: Path | None) -> int:
    """The lines of a file of accepted rows; 0 if it is missing: reading it raises the error."""
    if path is None or not path.exists():
        return 0
    with path.open("rb") as file:
        return sum(block.count(b"\n") for block in iter(lambda: file.read(limits.CHUNK_BYTES), b""))
