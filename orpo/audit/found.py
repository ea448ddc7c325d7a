"""The rows of each finding, on disk: a report counts them, this file names all of them.

Knows arrays and one file; knows nothing of what a finding means.
"""

from collections.abc import Mapping
from pathlib import Path
from typing import NamedTuple
from zipfile import BadZipFile

import numpy as np
from numpy.typing import NDArray

Places = NDArray[np.uint32]
GROUPS = "/groups"


class Named(NamedTuple):
    """The rows of a finding.

    `places` [n] are indices of rows among the accepted ones, from 0, ascending. `groups` [n] holds
    the same number for rows that belong together, such as duplicates of one row; None if rows
    stand alone.
    """

    places: Places
    groups: Places | None = None


def write(path: Path, found: Mapping[str, Named]) -> None:
    """Write the rows of each finding, by its code. Raises OSError."""
    arrays = {code: named.places for code, named in found.items()}
    grouped = {
        code + GROUPS: named.groups for code, named in found.items() if named.groups is not None
    }
    with path.open("wb") as file:
        np.savez(file, allow_pickle=False, **arrays, **grouped)


def read(path: Path, code: str) -> Named:
    """The rows of one finding, none if the file names no such finding. Reads only its arrays.

    Raises OSError, and ValueError for a damaged file.
    """
    try:
        with np.load(path, allow_pickle=False) as arrays:
            if code not in arrays:
                return Named(np.empty(0, np.uint32))
            return Named(arrays[code], arrays.get(code + GROUPS))
    except BadZipFile as error:
        raise ValueError(f"{path.name} is damaged: {error}") from error


def read_all(path: Path) -> dict[str, Named]:
    """The rows of each finding that the file names, by its code.

    Raises OSError, and ValueError for a damaged file.
    """
    try:
        with np.load(path, allow_pickle=False) as arrays:
            codes = [name for name in arrays if not name.endswith(GROUPS)]
            return {code: Named(arrays[code], arrays.get(code + GROUPS)) for code in codes}
    except BadZipFile as error:
        raise ValueError(f"{path.name} is damaged: {error}") from error
