"""Storage keys of a file: its bytes, and what was made of them.

The names are written here alone. Knows the record of a file, and no bytes.
"""

from typing import NamedTuple


class Keys(NamedTuple):
    """What is stored of one upload: its bytes; the accepted rows in normal form; where each of them
    begins (8 bytes each, the lowest first); the rows of each finding of its audit.
    """

    upload: str
    rows: str
    offsets: str
    audit: str

    @property
    def made(self) -> tuple[str, ...]:
        """All but the upload itself."""
        return self[1:]


def keys_of(storage_key: str) -> Keys:
    """The keys of an upload. Some may have nothing stored yet, or never."""
    return Keys(
        storage_key, f"{storage_key}.rows", f"{storage_key}.offsets", f"{storage_key}.audit"
    )
