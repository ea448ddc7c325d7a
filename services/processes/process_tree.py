"""A tree of processes, found and ended however their parents have ended.

`find` uses the mark that `verbs.environment` gives each process. vLLM's processes overwrite their
environment with their title; for these, `session` uses the session that they were started in.
Knows nothing of what they do.
"""

import os
import signal
import time
from collections.abc import Callable
from contextlib import suppress

import psutil

from orpo.contract.rundir import TREE


def find(mark: str) -> list[psutil.Process]:
    """Return every live process that carries `mark` in its environment."""
    found = []
    for process in psutil.process_iter():
        try:
            if process.environ().get(TREE) == mark and process.status() != psutil.STATUS_ZOMBIE:
                found.append(process)
        except psutil.Error:
            continue
    return found


def session(leader: int) -> list[psutil.Process]:
    """Return the live processes of a session; while there is one, its number isn't reused."""
    found = []
    for process in psutil.process_iter():
        with suppress(psutil.Error, ProcessLookupError):
            if os.getsid(process.pid) == leader and process.status() != psutil.STATUS_ZOMBIE:
                found.append(process)
    return found


def kill(mark: str) -> None:
    """End every process that carries `mark`, at once."""
    end(lambda: find(mark))


def end(
    tree: Callable[[], list[psutil.Process]], grace_s: float = 0, patience_s: float = 5
) -> None:
    """SIGTERM to all of a tree, and after `grace_s` SIGKILL, also to those that fork meanwhile.

    Returns once none is left, or after `patience_s` more.
    """
    until = time.monotonic() + grace_s
    if grace_s:
        for process in tree():
            send(process, signal.SIGTERM)
        while tree() and time.monotonic() < until:
            time.sleep(0.05)
    while (left := tree()) and time.monotonic() < until + patience_s:
        for process in left:
            send(process, signal.SIGKILL)
        # Without psutil's wait: it would collect our own child's exit code, which Popen needs.
        time.sleep(0.05)


def send(process: psutil.Process, number: int) -> None:
    """Send a signal to a process, which may have ended meanwhile."""
    with suppress(psutil.NoSuchProcess):
        process.send_signal(number)
