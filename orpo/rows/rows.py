"""Reads the rows of an uploaded file, one at a time in constant memory; an unreadable row becomes a
finding.

Knows JSON, lines and columns; formats.py knows what a row means.
"""

import codecs
import json
import re
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path, PurePath
from typing import Any, BinaryIO

import orjson

LINES = (".jsonl", ".ndjson", "")
MAX_ROW_BYTES = 16 * 2**20
CHUNK_BYTES = 2**20
# The most digits that int() reads by default (sys.set_int_max_str_digits).
MAX_INT_DIGITS = 4300

TOO_LONG = ("line_too_long", f"This row is longer than {MAX_ROW_BYTES >> 20} MB; shorten it.")
TOO_DEEP = ("too_deep", "This row nests too deeply to be read; a pair needs four levels.")


@dataclass(frozen=True)
class Finding:
    """One thing wrong with a file, at a `line` and, where known, a `column`, both from 1."""

    line: int
    column: int | None
    code: str
    message: str


@dataclass(frozen=True)
class Row:
    """A row as read: its `value`, or the `finding` that made it unreadable.

    `offset_bytes` is how much of the file has been read so far, for progress.
    """

    line: int
    value: Any
    finding: Finding | None
    offset_bytes: int


def read_rows(path: Path, filename: str) -> Iterator[Row]:
    """Yield the rows of a file with one JSON value a line, or with one array.

    `filename` is the uploaded name. Its suffix says that the file is JSON; which of the two it is
    follows from its content. At most one row (16 MB) and one chunk are held in memory. A byte-order
    mark and blank lines are skipped. An unreadable row is a Row with a finding; in an array,
    nothing after it can be read.
    """
    suffix = PurePath(filename).suffix.lower()
    with path.open("rb", CHUNK_BYTES) as file:
        if suffix not in (*LINES, ".json"):
            message = (
                f"Files ending in {suffix} are not read; upload .jsonl, or .json with an array."
            )
            yield _unread(0, 1, None, "unknown_container", message)
            return
        is_array = _holds_array(file, suffix)
        file.seek(0)
        yield from _array(file) if is_array else _lines(file)


def _holds_array(file: BinaryIO, suffix: str) -> bool:
    """Whether the content is one array, and not one JSON value a line.

    An array is often saved as .jsonl, and lines as .json. A file whose first line is a complete
    value has lines, unless it is a .json file and the value is its only line or an array, or a
    single array of objects.
    """
    if file.read(len(codecs.BOM_UTF8)) != codecs.BOM_UTF8:
        file.seek(0)
    lines = (line for line in iter(lambda: file.readline(MAX_ROW_BYTES + 1), b"") if line.strip())
    first, has_more = next(lines, b"").strip(), bool(next(lines, b""))
    try:
        value = _value(first)
    except (ValueError, RecursionError):
        return suffix == ".json" or (first[:1] == b"[" and not first.startswith(b"[["))
    if isinstance(value, list):
        return suffix == ".json" or (not has_more and any(isinstance(row, dict) for row in value))
    return suffix == ".json" and not has_more


def _value(raw: bytes) -> Any:
    """The value, also with NaN; raises ValueError or RecursionError."""
    try:
        return orjson.loads(raw)
    except orjson.JSONDecodeError:  # a ValueError, too
        return _DECODER.decode(raw.decode("utf-8"))


def _unread(offset_bytes: int, line: int, column: int | None, code: str, message: str) -> Row:
    return Row(line, None, Finding(line, column, code, message), offset_bytes)


def _lines(file: BinaryIO) -> Iterator[Row]:
    offset_bytes, line = 0, 0
    while raw := file.readline(MAX_ROW_BYTES + 1):
        line += 1
        offset_bytes += len(raw)
        if len(raw) > MAX_ROW_BYTES:
            offset_bytes += _skip_line(file, raw)
            yield _unread(offset_bytes, line, None, *TOO_LONG)
            continue
        if line == 1:
            raw = raw.removeprefix(codecs.BOM_UTF8)
        if raw and not raw.isspace():
            yield _decode(raw, line, offset_bytes)


def _skip_line(file: BinaryIO, raw: bytes) -> int:
    skipped = 0
    while raw and not raw.endswith(b"\n"):
        raw = file.readline(CHUNK_BYTES)
        skipped += len(raw)
    return skipped


def _decode(raw: bytes, line: int, offset_bytes: int) -> Row:
    try:
        return Row(line, orjson.loads(raw), None, offset_bytes)
    except orjson.JSONDecodeError:
        pass  # orjson is fast, but its errors do not contain the column that an editor shows
    try:
        return Row(line, _DECODER.decode(raw.decode("utf-8").rstrip("\r\n")), None, offset_bytes)
    except UnicodeDecodeError as error:
        message = f"Byte {error.start + 1} of this line is not UTF-8; save the file as UTF-8."
        return _unread(offset_bytes, line, error.start + 1, "bad_utf8", message)
    except json.JSONDecodeError as error:
        return _unread(offset_bytes, line, error.colno, "bad_json", f"Not JSON: {error.msg}.")
    except RecursionError:
        return _unread(offset_bytes, line, None, *TOO_DEEP)


def _integer(digits: str) -> int | float:
    """A number with too many digits for Python's int is read as a float."""
    return int(digits) if len(digits) <= MAX_INT_DIGITS else float(digits)


# Reads NaN and Infinity, which JSON lacks and many tools write into columns that hold numbers.
_DECODER = json.JSONDecoder(parse_int=_integer)
_SPACE = re.compile(r"[ \t\r\n]*")


def _array(file: BinaryIO) -> Iterator[Row]:
    text = _Window(file)
    try:
        text.expect("[", "a .json file holds one array of rows (name one row a line .jsonl)")
        while text.peek() != "]" or text.rows:
            text.peek()
            line = text.line
            yield Row(line, text.value(), None, text.offset_bytes)
            if text.peek() == "]":
                break
            text.expect(",", "',' or ']' must follow a row")
        text.end()
    except UnicodeDecodeError:
        message = "The file is not UTF-8 from here on; save it as UTF-8. Reading stopped here."
        yield _unread(text.offset_bytes, text.line, None, "bad_utf8", message)
    except json.JSONDecodeError as error:
        text.take(error.pos)
        message = f"Not JSON: {error.msg}. Reading stopped here."
        yield _unread(text.offset_bytes, text.line, text.column, "bad_json", message)
    except RecursionError:
        yield _unread(text.offset_bytes, text.line, None, *TOO_DEEP)
    except _RowTooLong:
        yield _unread(text.offset_bytes, text.line, None, *TOO_LONG)


class _RowTooLong(Exception):
    pass


class _Window:
    """A sliding window of decoded text over a file, with the line and column of its position."""

    def __init__(self, file: BinaryIO):
        self.file = file
        self.decode = codecs.getincrementaldecoder("utf-8-sig")().decode
        self.text, self.at, self.ended = "", 0, False
        self.undecodable: UnicodeDecodeError | None = None
        self.line, self.line_start = 1, 0
        self.rows, self.offset_bytes = 0, 0

    @property
    def column(self) -> int:
        return self.at - self.line_start + 1

    def more(self) -> bool:
        """Read another chunk; False at the end of the file. The text before a bad byte is kept."""
        if self.undecodable:
            raise self.undecodable
        if len(self.text) - self.at > MAX_ROW_BYTES:
            raise _RowTooLong
        raw = self.file.read(CHUNK_BYTES)
        self.offset_bytes += len(raw)
        self.ended = not raw
        try:
            text = self.decode(raw, final=self.ended)
        except UnicodeDecodeError as error:
            self.undecodable = error
            text = error.object[: error.start].decode("utf-8-sig")
        self.text = self.text[self.at :] + text
        self.line_start -= self.at
        self.at = 0
        return not self.ended

    def take(self, end: int) -> None:
        """Move to the position `end` of the window."""
        lines = self.text.count("\n", self.at, end)
        if lines:
            self.line += lines
            self.line_start = self.text.rfind("\n", self.at, end) + 1
        self.at = end

    def peek(self) -> str:
        """The next character that is not white space, or "" at the end of the file."""
        while True:
            self.take(_end_of_space(self.text, self.at))
            if self.at < len(self.text):
                return self.text[self.at]
            if not self.more():
                return ""

    def expect(self, char: str, message: str) -> None:
        if self.peek() != char:
            raise json.JSONDecodeError(message, self.text, self.at)
        self.take(self.at + 1)

    def end(self) -> None:
        """Move past the array's end; raises JSONDecodeError if anything follows it."""
        self.take(self.at + 1)
        if self.peek():
            raise json.JSONDecodeError("the file goes on after its array", self.text, self.at)

    def value(self) -> Any:
        """Decode the value at this position; read more while the window may end inside it."""
        self.peek()
        while True:
            try:
                value, end = _DECODER.raw_decode(self.text, self.at)
                if end < len(self.text) or not self.more():
                    self.take(end)
                    self.rows += 1
                    return value
            except json.JSONDecodeError:
                if self.ended or not self.more():
                    raise


def _end_of_space(text: str, start: int) -> int:
    match = _SPACE.match(text, start)
    return match.end() if match else start


def count_lines(path: Path | None) -> int:
    """The lines of a file of accepted rows; 0 if it is missing: reading it raises the error."""
    if path is None or not path.exists():
        return 0
    with path.open("rb") as file:
        return sum(block.count(b"\n") for block in iter(lambda: file.read(CHUNK_BYTES), b""))
