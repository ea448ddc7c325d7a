"""Wait for something that another process does."""

import time
from collections.abc import Callable
from typing import TypeVar

Found = TypeVar("Found")


def wait_for(
    look: Callable[[], Found | None],
    timeout_s: float,
    explain: Callable[[], str] = lambda: "",
    interval_s: float = 0.3,
) -> Found:
    """Return the first truthy result of `look`; fail with `explain()` after `timeout_s`."""
    until = time.monotonic() + timeout_s
    while time.monotonic() < until:
        if found := look():
            return found
        time.sleep(interval_s)
    raise AssertionError(f"Nothing after {timeout_s} s.\n{explain()}")
