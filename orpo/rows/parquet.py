"""Reads the rows of a Parquet file, batch by batch. Knows columns; imports Arrow, so it is slow to
import.
"""

import sys
from collections.abc import Iterator
from pathlib import Path
from typing import Any, BinaryIO

import pyarrow as pa
import pyarrow.parquet as pq

from orpo.rows import limits
from orpo.rows.arrow_values import plain, rows_of
from orpo.rows.dictionaries import dictionary_bytes
from orpo.rows.row import TOO_LONG, Finding, Half, Row, Unreadable, unread
from orpo.rows.table import SAME_NAME, first_repeated
from orpo.rows.unpacked import require_bounded

BATCH_BYTES = 4 * 2**20
MOST_BATCH_BYTES = 256 * 2**20  # of a batch with texts from dictionaries
MAX_BATCH_ROWS = 256
# What the footer of a file may ask for; a large file's has a few MB.
FOOTER_BYTES = 64 * 2**20
FOOTER_ITEMS = 2**20
# What a row counts for at least: rows that hold nothing take no bytes, but time.
ROW_BYTES = 64


def read_parquet(path: Path, half: Half | None = None) -> Iterator[Row]:
    """Yield the rows of a file, or those of one half of it, `line` being the number of the row,
    from 1.

    Cells that are null are left out: a table has the columns of all its rows.
    """
    # Arrow's own pool keeps what is freed: 40 MiB more, and it is slower.
    pa.set_memory_pool(pa.system_memory_pool())
    size_bytes = path.stat().st_size
    at, unpacked_bytes = 0, 0
    try:
        with (
            path.open("rb", 0) as raw,
            pq.ParquetFile(
                path,
                buffer_size=limits.CHUNK_BYTES,  # a column's pages one by one, not all of a group
                pre_buffer=False,
                thrift_string_size_limit=FOOTER_BYTES,
                thrift_container_size_limit=FOOTER_ITEMS,
            ) as file,
        ):
            n_rows = file.metadata.num_rows
            _require_names(file.schema_arrow.names)
            first, last = _places(n_rows, half)
            for batch in _batches(file, raw):
                unpacked_bytes += max(batch.nbytes, ROW_BYTES * batch.num_rows)
                require_bounded(unpacked_bytes, size_bytes)
                # What is before a second half is decoded, too: a page can't be begun in its middle.
                skipped = min(batch.num_rows, max(0, first - at))
                at += skipped
                for value in _decoded(batch[skipped:][: last - at]):
                    at += 1
                    offset_bytes = size_bytes * at // max(n_rows, 1)
                    if isinstance(value, Unreadable):
                        yield unread(offset_bytes, at, None, value.code, value.message)
                    else:
                        yield Row(at, value, None, offset_bytes)
                if at >= last:
                    return
    # A damaged footer may have names that are not UTF-8, and numbers that are too large.
    except (pa.ArrowException, OSError, ValueError, OverflowError) as error:
        reason = str(error).partition("\n")[0]
        yield Row(
            at + 1,
            None,
            Finding(
                at + 1,
                None,
                "bad_parquet",
                f"The Parquet file is cut off or damaged ({reason:.200}). Reading stopped here. "
                "Copy it again in whole, or write it again.",
            ),
            size_bytes,
        )


def _places(n_rows: int, half: Half | None) -> tuple[int, int]:
    """The places of the first row to be read and of the one after the last, from 0."""
    # The second half also decodes the first, which takes a sixth of the time of judging it.
    cut = n_rows * 6 // 11
    match half:
        case Half.FIRST:
            return 0, cut
        case Half.SECOND:
            return cut, sys.maxsize
    return 0, sys.maxsize


def _require_names(names: list[str]) -> None:
    """Raise Unreadable if two columns have one name: only one of them would be read."""
    if (repeated := first_repeated(names)) is not None:
        raise Unreadable("bad_table", SAME_NAME.format(repeated))


def _batches(file: pq.ParquetFile, raw: BinaryIO) -> Iterator[pa.RecordBatch]:
    """Batches of about 4 MB, by the mean size of a row in each row group."""
    for group in range(file.num_row_groups):
        facts = file.metadata.row_group(group)
        row_bytes = facts.total_byte_size // max(facts.num_rows, 1) + 1
        # Each row of a batch may hold the largest text of a dictionary.
        in_dictionaries = MOST_BATCH_BYTES // (dictionary_bytes(raw, facts) + 1)
        batch_rows = max(1, min(MAX_BATCH_ROWS, BATCH_BYTES // row_bytes, in_dictionaries))
        batches = file.iter_batches(batch_rows, row_groups=[group], use_threads=False)
        yield from map(plain, batches)


def _decoded(batch: pa.RecordBatch) -> Iterator[dict[str, Any] | Unreadable]:
    """The rows of a batch; one by one if a text of it is not UTF-8, or a row may be too long."""
    if batch.nbytes > limits.MAX_ROW_BYTES:
        if batch.num_rows == 1:
            yield Unreadable(*TOO_LONG)
            return
        half = batch.num_rows // 2
        yield from _decoded(batch.slice(0, half))
        yield from _decoded(batch.slice(half))
        return
    try:
        rows = _rows(batch)
    except (UnicodeDecodeError, pa.ArrowException):
        if batch.num_rows > 1:
            for at in range(batch.num_rows):
                yield from _decoded(batch.slice(at, 1))
        else:
            yield Unreadable("bad_utf8", "A text of this row is not UTF-8; write it as UTF-8.")
        return
    yield from rows


def _rows(batch: pa.RecordBatch) -> list[dict[str, Any]]:
    rows = rows_of(batch)
    if not any(column.null_count for column in batch.columns):
        return rows
    return [{name: cell for name, cell in row.items() if cell is not None} for row in rows]
