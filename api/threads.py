"""Threads for work that blocks: a pool for each kind of work, and in it a lane for each key.

A limited number of each key's calls enters the pool's queue; the others wait in the key's own lane.
So a call of another key waits for at most that many calls, however many one key sends.
"""

import asyncio
from collections.abc import AsyncIterator, Callable, Iterator
from contextlib import AbstractContextManager, asynccontextmanager
from dataclasses import dataclass
from functools import partial
from typing import ParamSpec, TypeVar
from weakref import WeakKeyDictionary

import anyio
import anyio.to_thread

from services.platform.errors import RateLimited

Result = TypeVar("Result")
Arguments = ParamSpec("Arguments")

# The lane of requests that have shown no key yet.
NO_KEY = ""


@dataclass(frozen=True)
class Work:
    """A kind of work: its threads in all, those that one key may use, and how many may wait."""

    name: str
    threads: int
    of_key: int
    waiting: int
    retry_after_s: int


# Each call takes a few milliseconds. More threads are slower: with 40, a third fewer creates a
# second, because the threads compete for the interpreter (GIL).
REQUESTS = Work("requests", threads=8, of_key=4, waiting=2000, retry_after_s=1)
# Requests of monitoring. They check Redis, which may take seconds to fail.
PROBES = Work("probes", threads=1, of_key=1, waiting=50, retry_after_s=2)
# Reads of files whose length grows with what a user uploaded: seconds, at the end of a large one.
READING = Work("reads of files", threads=4, of_key=2, waiting=50, retry_after_s=5)
# One block of an upload or a download, from or to a storage that may be slow.
MOVING = Work("transfers", threads=16, of_key=8, waiting=5000, retry_after_s=5)
# Checks of a model, merged weights, GGUF files: seconds to minutes, each in a process with torch.
MAKING = Work("model checks and exports", threads=2, of_key=1, waiting=8, retry_after_s=30)
# An upload's parts written into one file: seconds, for gigabytes. Both read and write the disk.
ASSEMBLING = Work("completions of uploads", threads=2, of_key=1, waiting=50, retry_after_s=5)
# All prompts of files compared: seconds, a minute for a million, in a process of its own.
COMPARING = Work("comparisons of files", threads=2, of_key=1, waiting=8, retry_after_s=30)
# The tokens of a row: seconds, in a process with a tokenizer.
SHOWING = Work("tokens of rows", threads=2, of_key=1, waiting=8, retry_after_s=5)


class Lane:
    """The calls of one key: those that wait and those that run."""

    def __init__(self, at_once: int) -> None:
        self.calls = 0
        self.free = asyncio.Semaphore(at_once)


class Pool:
    """The threads of one kind of work, in one event loop."""

    def __init__(self, work: Work) -> None:
        self.work = work
        self.free = anyio.CapacityLimiter(work.threads)
        self.lanes: dict[str, Lane] = {}

    async def run(self, key: str, call: Callable[[], Result]) -> Result:
        lane = self.lanes.get(key)
        if lane is None:
            lane = self.lanes[key] = Lane(self.work.of_key)
        if lane.calls >= self.work.of_key + self.work.waiting:
            raise self.refusal()
        lane.calls += 1
        try:
            async with lane.free:
                return await anyio.to_thread.run_sync(call, limiter=self.free)
        finally:
            lane.calls -= 1
            if not lane.calls:
                del self.lanes[key]

    def refusal(self) -> RateLimited:
        return RateLimited(
            f"{self.work.waiting} {self.work.name} of this API key wait already. "
            "Wait until some have ended.",
            retry_after_s=self.work.retry_after_s,
        )


_pools: "WeakKeyDictionary[asyncio.AbstractEventLoop, dict[Work, Pool]]" = WeakKeyDictionary()


def pool(work: Work) -> Pool:
    """Return this event loop's pool; locks can't be shared between loops."""
    pools = _pools.setdefault(asyncio.get_running_loop(), {})
    found = pools.get(work)
    if found is None:
        found = pools[work] = Pool(work)
    return found


async def run(
    work: Work,
    key: str,
    call: Callable[Arguments, Result],
    *args: Arguments.args,
    **kwargs: Arguments.kwargs,
) -> Result:
    """Run a call in a thread for `work`. Raises RateLimited if too many of the key wait."""
    return await pool(work).run(key, partial(call, *args, **kwargs))


@asynccontextmanager
async def opened(
    work: Work, key: str, manager: AbstractContextManager[Result]
) -> AsyncIterator[Result]:
    """Enter and leave a blocking context manager in threads; it sees what the block raises."""
    value = await run(work, key, manager.__enter__)
    try:
        yield value
    except BaseException as error:
        # Shielded: a cancelled request must leave nothing behind either.
        with anyio.CancelScope(shield=True):
            kind, trace = type(error), error.__traceback__
            if not await run(work, key, manager.__exit__, kind, error, trace):
                raise
    else:
        await run(work, key, manager.__exit__, None, None, None)


async def iterate(work: Work, key: str, source: Iterator[bytes]) -> AsyncIterator[bytes]:
    """Yield what a blocking iterator yields; each step is a call of its own."""
    while (block := await run(work, key, next, source, None)) is not None:
        yield block
