"""Reads the rows of a Parquet file, batch by batch. Knows columns; imports Arrow, so it is slow to
import.
"""

from collections.abc import Iterator
from itertools import pairwise
from pathlib import Path
from typing import Any

import pyarrow as pa
import pyarrow.parquet as pq

from orpo.rows import limits
from orpo.rows.row import Finding, Row, Unreadable, unread

BATCH_BYTES = 4 * 2**20
MAX_BATCH_ROWS = 4096
# What the footer of a file may ask for; a large file's has a few MB.
FOOTER_BYTES = 64 * 2**20
FOOTER_ITEMS = 2**20


def read_parquet(path: Path) -> Iterator[Row]:
    """Yield the rows of a file, `line` being the number of the row, from 1.

    Cells that are null are left out: a table has the columns of all its rows.
    """
    size_bytes = path.stat().st_size
    at = 0
    try:
        with pq.ParquetFile(
            path,
            buffer_size=limits.CHUNK_BYTES,  # a column's pages one by one, not all of a row group
            pre_buffer=False,
            thrift_string_size_limit=FOOTER_BYTES,
            thrift_container_size_limit=FOOTER_ITEMS,
        ) as file:
            n_rows = file.metadata.num_rows
            for batch in _batches(file):
                for value in _decoded(batch):
                    at += 1
                    offset_bytes = size_bytes * at // n_rows
                    if isinstance(value, Unreadable):
                        yield unread(offset_bytes, at, None, value.code, value.message)
                    else:
                        yield Row(at, value, None, offset_bytes)
    except (pa.ArrowException, OSError) as error:
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


def _batches(file: pq.ParquetFile) -> Iterator[pa.RecordBatch]:
    """Batches of about 4 MB, by the mean size of a row in each row group."""
    for group in range(file.num_row_groups):
        facts = file.metadata.row_group(group)
        row_bytes = facts.total_byte_size // max(facts.num_rows, 1) + 1
        batch_rows = max(1, min(MAX_BATCH_ROWS, BATCH_BYTES // row_bytes))
        yield from file.iter_batches(batch_rows, row_groups=[group])


def _decoded(batch: pa.RecordBatch) -> Iterator[dict[str, Any] | Unreadable]:
    """The rows of a batch; one by one if a text of it is not UTF-8."""
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
    columns = [values(column) for column in batch.columns]
    names = batch.schema.names
    has_nulls = any(column.null_count for column in batch.columns)
    rows = [dict(zip(names, row, strict=True)) for row in zip(*columns, strict=True)]
    if not has_nulls:
        return rows
    return [{name: cell for name, cell in row.items() if cell is not None} for row in rows]


def values(array: pa.Array) -> list[Any]:
    """The values of an array as Python values, null as None.

    Texts, lists and structs are converted column by column: `to_pylist` makes an object of Arrow
    for each value, and is five times slower.
    """
    kind = array.type
    if pa.types.is_string(kind) or pa.types.is_large_string(kind):
        return array.to_numpy(zero_copy_only=False).tolist()
    if pa.types.is_dictionary(kind):
        return values(array.dictionary_decode())
    if pa.types.is_struct(kind):
        return _structs(array)
    if pa.types.is_list(kind) or pa.types.is_large_list(kind):
        return _lists(array)
    return array.to_pylist()


def _structs(array: pa.StructArray) -> list[Any]:
    names = [field.name for field in array.type]
    columns = [values(column) for column in array.flatten()]
    if not columns:
        return array.to_pylist()
    rows = [dict(zip(names, row, strict=True)) for row in zip(*columns, strict=True)]
    return _with_nulls(array, rows)


def _lists(array: pa.ListArray) -> list[Any]:
    offsets = array.offsets.to_pylist()
    first = offsets[0]
    items = values(array.values.slice(first, offsets[-1] - first))
    bounds = pairwise(offset - first for offset in offsets)
    return _with_nulls(array, [items[start:end] for start, end in bounds])


def _with_nulls(array: pa.Array, found: list[Any]) -> list[Any]:
    if not array.null_count:
        return found
    valid = array.is_valid().to_pylist()
    return [value if is_valid else None for value, is_valid in zip(found, valid, strict=True)]
