"""Values of Arrow that JSON lacks, as values of JSON: times as text, decimals as numbers, maps as
objects, bytes as text where they are UTF-8.

Knows types and columns; imports Arrow, so it is slow to import.
"""

from collections.abc import Callable
from functools import lru_cache
from typing import Any

import pyarrow as pa
from pyarrow import types


def plain(batch: pa.RecordBatch) -> pa.RecordBatch:
    """The batch without dictionaries, which hide how much text there is, and without types of which
    Python's values can't be written as JSON or may be out of Python's range.
    """
    if _is_plain_schema(batch.schema):
        return batch
    columns = [_plain(column) for column in batch.columns]
    return pa.RecordBatch.from_arrays(columns, names=batch.schema.names)


@lru_cache(maxsize=8)
def _is_plain_schema(schema: pa.Schema) -> bool:
    """Whether no column of such batches has to be changed."""
    return not any(map(_is_changed, schema.types))


@lru_cache(maxsize=8)
def _has_map(schema: pa.Schema) -> bool:
    return any(map(_holds_map, schema.types))


def _holds_map(kind: pa.DataType) -> bool:
    inner = (kind.field(at) for at in range(kind.num_fields))
    return types.is_map(kind) or any(_holds_map(field.type) for field in inner)


def _is_changed(kind: pa.DataType) -> bool:
    if types.is_dictionary(kind) or _is_binary(kind):
        return True
    return _retyped(kind, _without_zone) != kind or _retyped(kind, _of_json) != kind


def rows_of(batch: pa.RecordBatch) -> list[dict[str, Any]]:
    """The rows of a plain batch. Raises UnicodeDecodeError, ArrowException."""
    # Values are taken from the columns much faster without the option.
    return batch.to_pylist(maps_as_pydicts="lossy") if _has_map(batch.schema) else batch.to_pylist()


def _plain(column: pa.Array) -> pa.Array:
    if types.is_dictionary(column.type):
        column = column.dictionary_decode()
    for change in (_without_zone, _of_json):
        wanted = _retyped(column.type, change)
        if wanted != column.type:
            column = column.cast(wanted)
    if _is_binary(column.type):
        try:
            return column.cast(pa.string())
        except pa.ArrowInvalid:  # no text, such as an image
            return column
    return column


def _retyped(kind: pa.DataType, change: Callable[[pa.DataType], pa.DataType]) -> pa.DataType:
    """The type with each type in it that holds no other changed."""
    if types.is_struct(kind):
        fields = (kind.field(at) for at in range(kind.num_fields))
        return pa.struct([field.with_type(_retyped(field.type, change)) for field in fields])
    if types.is_map(kind):
        return pa.map_(_retyped(kind.key_type, change), _retyped(kind.item_type, change))
    if types.is_large_list(kind):
        return pa.large_list(kind.value_field.with_type(_retyped(kind.value_type, change)))
    if types.is_fixed_size_list(kind):
        held = kind.value_field.with_type(_retyped(kind.value_type, change))
        return pa.list_(held, kind.list_size)
    if types.is_list(kind):
        return pa.list_(kind.value_field.with_type(_retyped(kind.value_type, change)))
    return change(kind)


def _without_zone(kind: pa.DataType) -> pa.DataType:
    """Times of a zone in UTC: the zone's name may be unknown here."""
    return pa.timestamp(kind.unit) if types.is_timestamp(kind) and kind.tz else kind


def _of_json(kind: pa.DataType) -> pa.DataType:
    if types.is_decimal(kind):
        return pa.float64()
    return pa.string() if types.is_temporal(kind) else kind


def _is_binary(kind: pa.DataType) -> bool:
    return types.is_binary(kind) or types.is_large_binary(kind) or types.is_fixed_size_binary(kind)
