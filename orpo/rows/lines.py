"""Reads one JSON value a line. Knows bytes and lines."""

import codecs
import json
from collections.abc import Iterator
from typing import BinaryIO

import orjson

from orpo.rows import limits
from orpo.rows.json_value import DECODER, may_repeat, repeated_key
from orpo.rows.row import TOO_DEEP, TOO_LONG, Row, unread


def read_lines(file: BinaryIO) -> Iterator[Row]:
    """Yield a row for each line that is not blank; an unreadable one is a row with a finding."""
    offset_bytes, line = 0, 0
    while raw := file.readline(limits.MAX_ROW_BYTES + 1):
        line += 1
        offset_bytes += len(raw)
        if len(raw) > limits.MAX_ROW_BYTES:
            offset_bytes += _skip_line(file, raw)
            yield unread(offset_bytes, line, None, *TOO_LONG)
            continue
        if line == 1:
            raw = raw.removeprefix(codecs.BOM_UTF8)
        if raw and not raw.isspace():
            yield _decode(raw, line, offset_bytes)


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


def _decode_slowly(raw: bytes, line: int, offset_bytes: int) -> Row:
    try:
        text = raw.decode("utf-8").rstrip("\r\n")
        value = DECODER.decode(text)
        return Row(line, value, None, offset_bytes, repeated_key(text))
    except UnicodeDecodeError as error:
        message = f"Byte {error.start + 1} of this line is not UTF-8; save the file as UTF-8."
        return unread(offset_bytes, line, error.start + 1, "bad_utf8", message)
    except json.JSONDecodeError as error:
        return unread(offset_bytes, line, error.colno, "bad_json", f"Not JSON: {error.msg}.")
    except RecursionError:
        return unread(offset_bytes, line, None, *TOO_DEEP)
