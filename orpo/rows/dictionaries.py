"""How large the dictionaries of a Parquet file are, before they are read.

A column with a dictionary stores each text once, however many rows have it, so the size of a row
group says little about the size of its rows. No text is larger than its dictionary. Knows the first
bytes of a page; imports no Arrow.
"""

from typing import Any, BinaryIO

# The first bytes of a page's header in Thrift's compact form: a mark, the page's kind as a number,
# the same mark, the page's bytes before compression (parquet.thrift, PageHeader).
MARK = 0x15
DICTIONARY = 2
HEADER_BYTES = 12


def dictionary_bytes(file: BinaryIO, group: Any) -> int:
    """The bytes of all dictionaries of a row group (Arrow's RowGroupMetaData)."""
    columns = (group.column(at) for at in range(group.num_columns))
    return sum(_bytes_at(file, each) for each in columns)


def _bytes_at(file: BinaryIO, column: Any) -> int:
    # Some writers give no place for the dictionary: it is the first page then.
    at = column.dictionary_page_offset or column.data_page_offset
    if at <= 0:
        return 0
    file.seek(at)
    header = file.read(HEADER_BYTES)
    kind, after = _number(header, 0)
    size, _ = _number(header, after)
    return size if kind == DICTIONARY and size > 0 else 0


def _number(header: bytes, at: int) -> tuple[int, int]:
    """The number behind a mark, and where the next mark stands; -1 where there is none."""
    if at < 0 or header[at : at + 1] != bytes([MARK]):
        return -1, -1
    value, shift = 0, 0
    for place, byte in enumerate(header[at + 1 :], at + 1):
        value |= (byte & 0x7F) << shift
        shift += 7
        if byte < 0x80:
            return (value >> 1) ^ -(value & 1), place + 1
    return -1, -1
