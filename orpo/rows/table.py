"""Reads a table of text with a header: fields parted by commas, semicolons, tabs or bars.

Knows lines and fields. Every value is text, except in the columns that hold lists.
"""

import csv
import io
import re
from collections import Counter
from collections.abc import Iterator
from typing import Any, BinaryIO

import orjson

from orpo.rows import limits
from orpo.rows.row import Row, unread

DELIMITERS = ",;\t|"
# Columns whose cells may spell a list in JSON; any other cell is text, whatever it looks like.
LISTS = frozenset(
    {
        "responses", "scores", "ranks", "output", "messages", "conversations", "history",
        "rejected_messages", "preferred_output", "non_preferred_output", "input.messages",
    }
)  # fmt: skip
UNDECODED = re.compile("[\udc80-\udcff]")
UNNAMED = "index"  # pandas writes its index under an empty name
TOO_LONG = (
    f"This row is longer than {limits.MAX_ROW_BYTES >> 20} MB: close its quote, or shorten it. "
    "Reading goes on in the line where it was cut."
)
SAME_NAME = "Two columns have the name {:.40}; rename one. Nothing was read."
NEVER_CLOSED = "unexpected end of data"


def fields_of(line: str, delimiter: str) -> list[str]:
    """The fields of one line; none if its quotes are broken."""
    try:
        return next(csv.reader([line], delimiter=delimiter, strict=True), [])
    except csv.Error:
        return []


def delimiter_of(header: str) -> str | None:
    """The delimiter that parts a header into the most names; None if no one parts it in two."""
    counts = {
        delimiter: len([name for name in fields_of(header, delimiter) if name.strip()])
        for delimiter in DELIMITERS
    }
    best = max(DELIMITERS, key=lambda delimiter: counts[delimiter])
    return best if counts[best] > 1 else None


def read_table(file: BinaryIO, delimiter: str) -> Iterator[Row]:
    """Yield the rows below the header, each a dict of texts; `line` is where a row begins.

    Lines end with a line feed, a carriage return, or both. Broken quotes are a finding at the row
    in which they stand, and reading goes on in the next line.
    """
    # Bytes that are not UTF-8 become half surrogates, so that only their row is dropped.
    text = io.TextIOWrapper(file, "utf-8-sig", errors="surrogateescape", newline="")
    table = _Table(text, delimiter)
    header: list[str] | None = None
    for line, fields in table:
        if isinstance(fields, Row):
            yield fields
            if header is None:
                return
        elif header is None:
            header = _names(fields)
            if problem := _header_problem(header):
                yield unread(0, line, None, "bad_table", problem)
                return
        else:
            yield _row(line, header, fields)


def _names(fields: list[str]) -> list[str]:
    names = [name.strip() for name in fields]
    return [name or (UNNAMED if at == 0 else f"column {at + 1}") for at, name in enumerate(names)]


def _header_problem(header: list[str]) -> str | None:
    repeated = first_repeated(header)
    return None if repeated is None else SAME_NAME.format(repeated)


def first_repeated(names: list[str]) -> str | None:
    """The first of the names that stands there twice; None if there is none."""
    times = Counter(names)
    return next((name for name in names if times[name] > 1), None)


def _row(line: int, header: list[str], fields: list[str]) -> Row:
    if any(not field.isascii() and UNDECODED.search(field) for field in fields):
        message = "This row is not UTF-8; save the table as UTF-8."
        return unread(0, line, None, "bad_utf8", message)
    if len(fields) != len(header):
        message = (
            f"This row has {len(fields)} fields, and the header has {len(header)}. Put fields with "
            "a delimiter or a line end into quotes."
        )
        return unread(0, line, None, "bad_table", message)
    value: dict[str, Any] = dict(zip(header, fields, strict=True))
    for name in LISTS.intersection(header):
        value[name] = _listed(value[name])
    return Row(line, value, None, 0)


def _listed(cell: str) -> Any:
    if not cell.startswith(("[", "{")):
        return cell
    try:
        return orjson.loads(cell)
    except orjson.JSONDecodeError:
        return cell


class _RowTooLong(Exception):
    pass


class _Table:
    """Yields (line, fields) of each row, or (line, the Row that tells what is wrong)."""

    def __init__(self, text: io.TextIOWrapper, delimiter: str):
        self.text = text
        self.reader = csv.reader(self.lines(), delimiter=delimiter, strict=True)
        self.line = 0  # lines read so far
        self.row_chars = 0
        csv.field_size_limit(limits.MAX_ROW_BYTES)

    def lines(self) -> Iterator[str]:
        """The lines of the text; raises _RowTooLong within a row that is too long."""
        while line := self.text.readline(limits.MAX_ROW_BYTES + 1):
            self.line += 1
            self.row_chars += len(line)
            if self.row_chars > limits.MAX_ROW_BYTES:
                self._skip_line(line)
                raise _RowTooLong
            yield line

    def _skip_line(self, line: str) -> None:
        while line and line[-1] not in "\r\n":
            line = self.text.readline(limits.CHUNK_BYTES)

    def __iter__(self) -> Iterator[tuple[int, list[str] | Row]]:
        while True:
            line, self.row_chars = self.line + 1, 0
            try:
                fields = next(self.reader, None)
            except _RowTooLong:
                yield line, unread(0, line, None, "line_too_long", TOO_LONG)
                # The generator of lines ended with its error.
                dialect = self.reader.dialect
                self.reader = csv.reader(self.lines(), dialect)
                continue
            except csv.Error as error:
                yield line, unread(0, line, None, "bad_table", _broken(str(error), line, self.line))
                continue
            if fields is None:
                return
            if fields:
                yield line, fields


def _broken(error: str, first: int, last: int) -> str:
    if error == NEVER_CLOSED:
        lines = f" The {last - first} lines after it were not read." if last > first else ""
        return f"A quote that opens in this row is never closed.{lines} Close it."
    return (
        f"The quotes of this row are broken ({error}). Write a quote within a quoted field as two "
        "quotes."
    )
