"""Keeps Python's garbage collector off what open streams hold.

A full collection walks everything that lives: with 10,000 streams open that takes a second, in
which no client gets anything, and finds nothing. What they hold is freed without it when they end.
"""

import gc
from collections.abc import Iterator
from contextlib import contextmanager

# Streams between two looks; so many are walked in some 50 ms.
EVERY = 500


class Streams:
    """Count open connections: now, and when the collector was last told to skip them."""

    def __init__(self) -> None:
        self.open = self.passed_over = 0

    @contextmanager
    def one_more(self) -> Iterator[None]:
        self.open += 1
        if self.open >= self.passed_over + EVERY:
            self.passed_over = self.open
            gc.freeze()
        try:
            yield
        finally:
            self.open -= 1
            if self.open < self.passed_over // 2:
                # Most have left: what they may have left in cycles is looked at again.
                self.passed_over = self.open
                gc.unfreeze()


streams = Streams()
