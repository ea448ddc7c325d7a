"""Stores what comes in, in a thread of its own: all that waits at one moment in one transaction.

Knows nothing of what is stored.
"""

import asyncio
import queue
import threading
from collections.abc import Callable
from concurrent.futures import Future
from types import TracebackType
from typing import Generic, Self, TypeVar

Thing = TypeVar("Thing")

MOST = 500  # things in one transaction


class Writer(Generic[Thing]):
    """Calls `store` with the things that were put in, in their order. Use it in a `with`.

    What was put in is stored when the block has ended, also if it ends with an error. After an
    error of `store` nothing more is stored: each further thing meets that error.
    """

    def __init__(self, store: Callable[[list[Thing]], None]) -> None:
        self._store = store
        self._waiting: queue.SimpleQueue[tuple[Thing, Future[None]] | None] = queue.SimpleQueue()
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

    async def put(self, thing: Thing) -> None:
        """Return once the thing is stored, or raise the error of the storing."""
        stored: Future[None] = Future()
        self._waiting.put((thing, stored))
        # A caller that is cancelled meanwhile does not take the thing back.
        await asyncio.shield(asyncio.wrap_future(stored))

    def _write(self) -> None:
        more = True
        while more:
            batch, more = self._batch()
            things = [thing for thing, _ in batch]
            try:
                if things and self._error is None:
                    self._store(things)
            except BaseException as error:  # noqa: BLE001 - it is raised where things are put in
                self._error = error
            for _, stored in batch:
                if self._error is None:
                    stored.set_result(None)
                else:
                    stored.set_exception(self._error)

    def _batch(self) -> tuple[list[tuple[Thing, "Future[None]"]], bool]:
        """Wait for a thing; return all that wait then, and whether others may follow."""
        batch: list[tuple[Thing, Future[None]]] = []
        while len(batch) < MOST:
            try:
                waiting = self._waiting.get(block=not batch)
            except queue.Empty:
                break
            if waiting is None:
                return batch, False
            batch.append(waiting)
        return batch, True
