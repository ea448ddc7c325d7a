"""Reads one JSON value a line. Knows bytes and lines."""

import codecs
import json
import math
import os
from collections.abc import Callable, Iterator
from typing import BinaryIO, NamedTuple

import orjson

from orpo.rows import limits
from orpo.rows.json_value import DECODER, in_words, may_repeat, repeated_key
from orpo.rows.row import TOO_DEEP, TOO_LONG, Half, Row, unread


class Part(NamedTuple):
    """Whole lines of a file: the positions of the first and of what follows the last, and how many
    lines are before them.
    """

    start_bytes: int = 0
    end_bytes: float = math.inf
    lines_before: int = 0


WHOLE = Part()


def half_of(file: BinaryIO, half: Half) -> Part:
    """One half of a file's lines, by their bytes; moves to its first line."""
    file.seek(file.seek(0, os.SEEK_END) // 2)
    _skip_line(file, file.readline(limits.CHUNK_BYTES))
    cut = file.tell()
    file.seek(0)
    if half is Half.FIRST:
        return Part(end_bytes=cut)
    before = 0
    while left := cut - file.tell():
        before += file.read(min(limits.CHUNK_BYTES, left)).count(b"\n")
    return Part(start_bytes=cut, lines_before=before)


def read_lines(file: BinaryIO, part: Part = WHOLE) -> Iterator[Row]:
    """Yield a row for each line that is not blank; an unreadable one is a row with a finding.

    The file stands at the first line of the part.
    """
    return _read(file, part, _decode)


def read_text(file: BinaryIO) -> Iterator[Row]:
    """The same for lines of text, whose rows are texts; a line that is an object of JSON is one."""
    return _read(file, WHOLE, _decode_text)


def _read(file: BinaryIO, part: Part, decode: Callable[[bytes, int, int], Row]) -> Iterator[Row]:
    offset_bytes, end_bytes, line = part
    while offset_bytes < end_bytes and (raw := file.readline(limits.MAX_ROW_BYTES + 1)):
        line += 1
        offset_bytes += len(raw)
        if len(raw) > limits.MAX_ROW_BYTES:
            offset_bytes += _skip_line(file, raw)
            yield unread(offset_bytes, line, None, *TOO_LONG)
            continue
        if line == 1:
            raw = raw.removeprefix(codecs.BOM_UTF8)
        if raw and not raw.isspace():
            yield decode(raw, line, offset_bytes)


def _skip_line(file: BinaryIO, raw: bytes) -> int:
    skipped = 0
    while raw and not raw.endswith(b"\n"):
        raw = file.readline(limits.CHUNK_BYTES)
        skipped += len(raw)
    return skipped


def _decode(raw: bytes, line: int, offset_bytes: int) -> Row:
    try:
        value = orjson.loads(raw)
    except orjson.JSONDecodeError:
        # orjson is fast, but its errors do not contain the column that an editor shows
        return _decode_slowly(raw, line, offset_bytes)
    repeated = None
    if may_repeat(value, raw.count(b":")):
        repeated = repeated_key(raw.decode("utf-8"))
    return Row(line, value, None, offset_bytes, repeated)


def _decode_text(raw: bytes, line: int, offset_bytes: int) -> Row:
    if raw.lstrip().startswith(b"{"):
        found = _decode(raw, line, offset_bytes)
        if found.finding is None:
            return found
    try:
        return Row(line, raw.decode("utf-8").strip(), None, offset_bytes)
    except UnicodeDecodeError:
        return _decode_slowly(raw, line, offset_bytes)


def _decode_slowly(raw: bytes, line: int, offset_bytes: int) -> Row:
    try:
        text = raw.decode("utf-8").rstrip("\r\n")
        value = DECODER.decode(text)
        return Row(line, value, None, offset_bytes, repeated_key(text))
    except UnicodeDecodeError as error:
        message = f"Byte {error.start + 1} of this line is not UTF-8; save the file as UTF-8."
        return unread(offset_bytes, line, error.start + 1, "bad_utf8", message)
    except json.JSONDecodeError as error:
        return unread(offset_bytes, line, error.colno, "bad_json", f"Not JSON: {in_words(error)}.")
    except RecursionError:
        return unread(offset_bytes, line, None, *TOO_DEEP)
