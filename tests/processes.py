"""Finds processes for tests; one that ends meanwhile is left out."""

from collections.abc import Callable, Iterable
from contextlib import suppress

import psutil


def those(
    processes: Iterable[psutil.Process], wanted: Callable[[psutil.Process], bool]
) -> list[psutil.Process]:
    """Return the processes for which `wanted` is true."""
    found = list[psutil.Process]()
    for process in processes:
        with suppress(psutil.NoSuchProcess):
            if wanted(process):
                found.append(process)
    return found
