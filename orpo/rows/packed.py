"""Writes rows of one shape into a container, some bytes at a time. Knows no shapes and no files."""

import csv
import io
import zlib
from collections.abc import Callable, Iterable, Iterator
from enum import StrEnum
from itertools import islice
from typing import Any

import orjson

BATCH_ROWS = 500
GZIP = 16 + zlib.MAX_WBITS

Row = dict[str, Any]


class Container(StrEnum):
    """The containers that files are exported in, by the ends of their names."""

    JSONL = "jsonl"
    JSONL_GZ = "jsonl.gz"
    CSV = "csv"
    PARQUET = "parquet"


MEDIA_TYPES = {
    Container.JSONL: "application/x-ndjson",
    Container.JSONL_GZ: "application/gzip",
    Container.CSV: "text/csv",
    Container.PARQUET: "application/vnd.apache.parquet",
}


def pack(rows: Iterable[Row], container: Container) -> Iterator[bytes]:
    """Yield the bytes of a file with these rows, which have the same keys.

    In a CSV, a value that is no text is JSON. Raises ImportError for Parquet without pyarrow.
    """
    return _PACKERS[container](_batches(rows))


Batches = Iterator[list[Row]]


def _batches(rows: Iterable[Row]) -> Batches:
    each = iter(rows)
    while batch := list(islice(each, BATCH_ROWS)):
        yield batch


def _jsonl(batches: Batches) -> Iterator[bytes]:
    for batch in batches:
        yield b"".join(orjson.dumps(row, option=orjson.OPT_APPEND_NEWLINE) for row in batch)


def _gzip(batches: Batches) -> Iterator[bytes]:
    squeezer = zlib.compressobj(wbits=GZIP)
    for block in _jsonl(batches):
        yield squeezer.compress(block)
    yield squeezer.flush()


def _csv(batches: Batches) -> Iterator[bytes]:
    names: tuple[str, ...] = ()
    for batch in batches:
        text = io.StringIO(newline="")
        writer = csv.writer(text)
        if not names:
            names = tuple(batch[0])
            writer.writerow(names)
        writer.writerows([_cell(row[name]) for name in names] for row in batch)
        yield text.getvalue().encode()


def _cell(value: Any) -> str:
    return value if isinstance(value, str) else orjson.dumps(value).decode()


def _parquet(batches: Batches) -> Iterator[bytes]:
    import pyarrow as pa  # noqa: PLC0415 - not installed everywhere, and 0.2 s
    import pyarrow.parquet as pq  # noqa: PLC0415

    sink, writer = _Sink(), None
    for batch in batches:
        table = pa.Table.from_pylist(batch, schema=writer.schema if writer else None)
        if writer is None:
            writer = pq.ParquetWriter(sink, table.schema, compression="zstd")
        writer.write_table(table)
        yield sink.take()
    if writer is not None:
        writer.close()
        yield sink.take()


class _Sink(io.RawIOBase):
    """Holds what was written since it was taken last."""

    def __init__(self) -> None:
        self._written, self._at = list[bytes](), 0

    def writable(self) -> bool:
        return True

    def write(self, data: Any) -> int:
        written = bytes(data)
        self._written.append(written)
        self._at += len(written)
        return len(written)

    def tell(self) -> int:
        return self._at

    def take(self) -> bytes:
        taken = b"".join(self._written)
        self._written.clear()
        return taken


_PACKERS: dict[Container, Callable[[Batches], Iterator[bytes]]] = {
    Container.JSONL: _jsonl,
    Container.JSONL_GZ: _gzip,
    Container.CSV: _csv,
    Container.PARQUET: _parquet,
}
