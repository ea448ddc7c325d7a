"""Stores what comes in, in a thread of its own: all that waits at one moment in one transaction.

Knows nothing of what is stored.
"""

import queue
import threading
from collections.abc import Callable
from types import TracebackType
from typing import Generic, Self, TypeVar

Thing = TypeVar("Thing")

MOST = 500  # things in one transaction


class Writer(Generic[Thing]):
    """Calls `store` with the things that were put in, in their order. Use it in a `with`.

    What was put in is stored when the block has ended, also if it ends with an error. An error of
    `store` is raised by the next `put` and at the end of the block; nothing is stored after it.
    """

    def __init__(self, store: Callable[[list[Thing]], None]) -> None:
        self._store = store
        self._waiting: queue.SimpleQueue[Thing | None] = queue.SimpleQueue()
        self._error: BaseException | None = None
        self._thread = threading.Thread(target=self._write, name="writer", daemon=True)

    def __enter__(self) -> Self:
        self._thread.start()
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        self._waiting.put(None)
        self._thread.join()
        if self._error is not None and error is None:
            raise self._error

    def put(self, thing: Thing) -> None:
        """Have a thing stored soon; raises the error of an earlier one."""
        self.check()
        self._waiting.put(thing)

    def check(self) -> None:
        """Raise the error that has ended the storing, if there is one."""
        if self._error is not None:
            raise self._error

    def _write(self) -> None:
        more = True
        while more:
            things, more = self._batch()
            try:
                if things:
                    self._store(things)
            except BaseException as error:  # noqa: BLE001 - it is raised in the other thread
                self._error = error
                return

    def _batch(self) -> tuple[list[Thing], bool]:
        """Wait for a thing; return all that wait then, and whether others may follow."""
        things: list[Thing] = []
        while len(things) < MOST:
            try:
                thing = self._waiting.get(block=not things)
            except queue.Empty:
                break
            if thing is None:
                return things, False
            things.append(thing)
        return things, True
