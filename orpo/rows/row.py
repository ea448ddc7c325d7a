"""A row as it was read from a file, or the finding that made it unreadable. Knows no container."""

from dataclasses import dataclass
from enum import Enum, auto
from typing import Any, NamedTuple

from orpo.rows import limits

TOO_LONG = (
    "line_too_long",
    f"This row is longer than {limits.MAX_ROW_BYTES >> 20} MB; shorten it.",
)
TOO_DEEP = ("too_deep", "This row nests too deeply to be read; a pair needs four levels.")


@dataclass(frozen=True)
class Finding:
    """One thing wrong with a file, at a `line` and, where known, a `column`, both from 1."""

    line: int
    column: int | None
    code: str
    message: str


class Row(NamedTuple):
    """A row as read: its `value`, or the `finding` that made it unreadable.

    `line` is where it begins (in Parquet, the number of the row), both from 1. `offset_bytes` is
    how much of the file has been read so far, for progress. `repeated` is a key that an object of
    the row holds twice.
    """

    line: int
    value: Any
    finding: Finding | None
    offset_bytes: int
    repeated: str | None = None


class Half(Enum):
    """A half of the rows of a file, which a process can read without the other half."""

    FIRST = auto()
    SECOND = auto()


class Inseparable(Exception):
    """Why a file must be judged as a whole: what one half means depends on the other."""


class Unreadable(Exception):
    """Why no further row of a file can be read: a `code`, and a sentence that says what to do."""

    def __init__(self, code: str, message: str):
        super().__init__(message)
        self.code = code
        self.message = message


def unread(offset_bytes: int, line: int, column: int | None, code: str, message: str) -> Row:
    """A row that could not be read."""
    return Row(line, None, Finding(line, column, code, message), offset_bytes)
