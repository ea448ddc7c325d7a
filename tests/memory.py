"""Measures memory in a process of its own, where no other thread allocates."""

import multiprocessing
import tracemalloc
from collections.abc import Callable
from concurrent.futures import ProcessPoolExecutor


def peaks(work: Callable[..., object], *arguments: object) -> list[int]:
    """The peak of Python's memory in `work(argument)`, in bytes, for each argument in turn.

    tracemalloc counts what every thread of a process allocates, and the tests' own process has
    threads of other tests' servers. So `work` (a module-level function) runs in a new process: once
    with the first argument, unmeasured, to load modules; then with each argument, measured.
    """
    with ProcessPoolExecutor(1, multiprocessing.get_context("spawn")) as process:
        process.submit(work, arguments[0]).result()
        return [process.submit(_peak, work, argument).result() for argument in arguments]


def _peak(work: Callable[..., object], argument: object) -> int:
    tracemalloc.start()
    try:
        work(argument)
        return tracemalloc.get_traced_memory()[1]
    finally:
        tracemalloc.stop()
