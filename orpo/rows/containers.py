"""Which container a file is, by its content: lines or an array of JSON, a table, or Parquet, plain
or compressed, in UTF-8, UTF-16 or UTF-32.

The file's name decides only where the content fits two of them. Knows no rows.
"""

import codecs
import io
import re
from dataclasses import dataclass
from enum import StrEnum
from pathlib import PurePath
from typing import BinaryIO

from orpo.rows import limits, magic
from orpo.rows.json_value import decode
from orpo.rows.recoded import Recoded, encoding_of
from orpo.rows.row import Unreadable
from orpo.rows.table import delimiter_of
from orpo.rows.unpacked import GZIP, ZSTD, Gunzip, Unzstd

HEAD_BYTES = 2**16
MAX_BLANK_LINES = 10_000  # as many are looked at; a bomb may be made of them
PARQUET = b"PAR1"
TABLES = {".csv": ",", ".tsv": "\t", ".tab": "\t"}
UNPACKERS = {".gz": Gunzip, ".zst": Unzstd}
# Two objects with a carriage return alone between them.
OLD_LINE_ENDS = re.compile(rb"\}[ \t]*\r+[ \t]*\{")


class Kind(StrEnum):
    """The containers of rows."""

    LINES = "jsonl"
    ARRAY = "json"
    TABLE = "csv"
    PARQUET = "parquet"


@dataclass(frozen=True)
class Container:
    """How the rows of a file are stored; `packing` is "", ".gz" or ".zst"."""

    kind: Kind
    packing: str = ""
    encoding: str | None = None
    delimiter: str = ","

    @property
    def name(self) -> str:
        """The name that reports show, such as `jsonl.gz`."""
        return f"{self.kind}{self.packing}"

    def open(self, file: BinaryIO) -> io.BufferedReader:
        """The text of an unbuffered file as UTF-8, unpacked. Reading it may raise Unreadable."""
        file.seek(0)
        return io.BufferedReader(_raw(file, self.packing, self.encoding), limits.CHUNK_BYTES)


def container_of(file: BinaryIO, filename: str) -> Container:
    """The container of an unbuffered file; raises Unreadable, with a sentence, if it is none."""
    suffixes = [suffix.lower() for suffix in PurePath(filename).suffixes]
    suffix = next((suffix for suffix in reversed(suffixes) if suffix not in UNPACKERS), "")
    head = _head(Container(Kind.LINES).open(file))
    packing = _packing(head)
    if packing:
        head = _head(Container(Kind.LINES, packing).open(file))
    if head.startswith(PARQUET):
        if packing:
            raise Unreadable(
                "unknown_container",
                "This is a compressed Parquet file. Parquet is compressed in itself: unpack it, "
                "and upload the .parquet file.",
            )
        return Container(Kind.PARQUET)
    _refuse(head, packing)
    encoding = encoding_of(head)
    opened = Container(Kind.LINES, packing, encoding)
    kind, delimiter = _text_kind(opened.open(file), suffix)
    return Container(kind, packing, encoding, delimiter)


def _packing(head: bytes) -> str:
    if head.startswith(GZIP):
        return ".gz"
    return ".zst" if head.startswith(ZSTD) else ""


def _raw(file: BinaryIO, packing: str, encoding: str | None) -> io.RawIOBase:
    # A second object for the same open file: a reader that is no longer used closes what it reads.
    raw = UNPACKERS[packing](file) if packing else io.FileIO(file.fileno(), closefd=False)
    return Recoded(raw, encoding) if encoding else raw


def _refuse(head: bytes, packing: str) -> None:
    why = magic.refused(head)
    if packing and _packing(head):
        why = "This file is compressed twice. Unpack it once, and upload the result."
    elif why and packing:
        why = f"Inside the compressed file: {why}"
    if why:
        raise Unreadable("unknown_container", why)
    if encoding_of(head) is None and b"\0" in head[:2]:
        raise Unreadable(
            "bad_encoding",
            "The text begins with a NUL byte: it may be UTF-16 without a byte-order mark. Save it "
            "as UTF-8.",
        )


def _head(stream: io.BufferedReader) -> bytes:
    """The first bytes; raises Unreadable if there is not even one that can be unpacked."""
    head = b""
    try:
        while len(head) < HEAD_BYTES and (part := stream.read1(HEAD_BYTES - len(head))):
            head += part
    except Unreadable:
        if not head:
            raise
    return head


def _text_kind(stream: io.BufferedReader, suffix: str) -> tuple[Kind, str]:
    first, second = _first_lines(stream)
    if OLD_LINE_ENDS.search(first) and not first.startswith(b"["):
        raise Unreadable(
            "old_line_ends",
            "The lines end with a carriage return alone, as on old Mac systems. Save the file with "
            "line feeds.",
        )
    if _holds_array(first, bool(second), suffix):
        return Kind.ARRAY, ","
    delimiter = _delimiter(first, second, suffix)
    return (Kind.TABLE, delimiter) if delimiter else (Kind.LINES, ",")


def _first_lines(stream: io.BufferedReader) -> tuple[bytes, bytes]:
    """The first two lines that are not blank, stripped; b"" where there is none."""
    found = []
    try:
        for _ in range(MAX_BLANK_LINES):
            raw = stream.readline(limits.MAX_ROW_BYTES + 1).removeprefix(codecs.BOM_UTF8)
            if raw and not raw.isspace():
                found.append(raw.strip())
            if not raw or len(found) == 2:
                break
    except Unreadable:
        pass  # met again, where the rows before it are read
    first, second, *_ = (*found, b"", b"")
    return first, second


def _holds_array(first: bytes, has_more: bool, suffix: str) -> bool:
    """Whether the content is one array, and not one JSON value a line.

    An array is often saved as .jsonl, and lines as .json. A file whose first line is a complete
    value has lines, unless it is a .json file and the value is its only line or an array, or a
    single array of objects.
    """
    try:
        value = decode(first)
    except (ValueError, RecursionError):
        is_json = suffix == ".json" and not _delimiter(first, b"", "")
        return is_json or (first[:1] == b"[" and not first.startswith(b"[["))
    if isinstance(value, list):
        return suffix == ".json" or (not has_more and any(isinstance(row, dict) for row in value))
    return suffix == ".json" and not has_more


def _delimiter(first: bytes, second: bytes, suffix: str) -> str | None:
    """What parts the header of a table; None for JSON.

    A damaged first line of JSON is followed by a line that begins as JSON does.
    """
    if first[:1] in (b"{", b"[") or second[:1] in (b"{", b"["):
        return None
    try:
        decode(first)
    except (ValueError, RecursionError):
        # Old line ends: the header ends at the first of them.
        header = first.partition(b"\r")[0].decode("utf-8", "replace")
        return delimiter_of(header) or TABLES.get(suffix)
    return None
