"""Reads the rows of one JSON array, in a sliding window of text. Knows characters and lines."""

import codecs
import json
import re
from collections.abc import Iterator
from typing import Any, BinaryIO

from orpo.rows import limits
from orpo.rows.json_value import DECODER, in_words, may_repeat, repeated_key
from orpo.rows.row import TOO_DEEP, TOO_LONG, Row, unread

_SPACE = re.compile(r"[ \t\r\n]*")


def read_array(file: BinaryIO) -> Iterator[Row]:
    """Yield the rows of an array; after an unreadable one, which is a row with a finding, nothing
    can be read.
    """
    text = _Window(file)
    try:
        text.expect("[", "a .json file holds one array of rows (name one row a line .jsonl)")
        while text.peek() != "]" or text.rows:
            text.peek()
            line = text.line
            value = text.value()
            yield Row(line, value, None, text.offset_bytes, text.repeated)
            if text.peek() == "]":
                break
            text.expect(",", "',' or ']' must follow a row")
        text.end()
    except UnicodeDecodeError:
        message = "The file is not UTF-8 from here on; save it as UTF-8. Reading stopped here."
        yield unread(text.offset_bytes, text.line, None, "bad_utf8", message)
    except json.JSONDecodeError as error:
        text.take(error.pos)
        message = f"Not JSON: {in_words(error)}. Reading stopped here."
        yield unread(text.offset_bytes, text.line, text.column, "bad_json", message)
    except RecursionError:
        yield unread(text.offset_bytes, text.line, None, *TOO_DEEP)
    except _RowTooLong:
        yield unread(text.offset_bytes, text.line, None, *TOO_LONG)


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
        self.repeated: str | None = None  # a key that the last value holds twice

    @property
    def column(self) -> int:
        return self.at - self.line_start + 1

    def more(self) -> bool:
        """Read another chunk; False at the end of the file. The text before a bad byte is kept."""
        if self.undecodable:
            raise self.undecodable
        if len(self.text) - self.at > limits.MAX_ROW_BYTES:
            raise _RowTooLong
        raw = self.file.read(limits.CHUNK_BYTES)
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
                value, end = DECODER.raw_decode(self.text, self.at)
                if end < len(self.text) or not self.more():
                    self.repeated = None
                    if may_repeat(value, self.text.count(":", self.at, end)):
                        self.repeated = repeated_key(self.text[self.at : end])
                    self.take(end)
                    self.rows += 1
                    return value
            except json.JSONDecodeError:
                if self.ended or not self.more():
                    raise


def _end_of_space(text: str, start: int) -> int:
    match = _SPACE.match(text, start)
    return match.end() if match else start
