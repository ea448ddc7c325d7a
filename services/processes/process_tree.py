"""A tree of processes, found by the mark in their environment, however their parents have ended.

`verbs.environment` marks each process that is started. Knows nothing of what they do.
"""

import signal
import time
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


def kill(mark: str, patience_s: float = 5) -> None:
    """SIGKILL every process that carries `mark`, also those that it forks meanwhile."""
    until = time.monotonic() + patience_s
    while (left := find(mark)) and time.monotonic() < until:
        for process in left:
            send(process, signal.SIGKILL)
        # Not by psutil's wait: it would take our own child's exit code from under Popen.
        time.sleep(0.05)


def send(process: psutil.Process, number: int) -> None:
    """Send a signal to a process, which may have ended meanwhile."""
    with suppress(psutil.NoSuchProcess):
        process.send_signal(number)
