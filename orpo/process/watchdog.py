"""Ends the training process when the worker that started it is gone or has been replaced.

`ODDSMITH_DEADLINE_FILE` names a file holding a CLOCK_MONOTONIC time in seconds, which the worker
pushes ahead at each heartbeat. Knows nothing of leases, databases or training.
"""

import ctypes
import os
import signal
import threading
import time
from pathlib import Path

from orpo.contract.rundir import DEADLINE_FILE

EXIT_CODE = 70
POLL_S = 0.2
_PR_SET_PDEATHSIG = 1
_LIBC = ctypes.CDLL(None, use_errno=True)


def start(environ: "os._Environ[str] | dict[str, str]" = os.environ) -> threading.Thread | None:
    """Watch the deadline file, if the environment names one; `os._exit(70)` when it has passed."""
    name = environ.get(DEADLINE_FILE)
    if not name:
        return None
    thread = threading.Thread(target=_watch, args=(Path(name),), name="watchdog", daemon=True)
    thread.start()
    return thread


def die_with_parent() -> None:
    """Ask the kernel (Linux) to SIGKILL this process when its parent ends, however it ends.

    Call it between fork and exec: the wish outlasts exec, and no moment is left without it.
    """
    parent = os.getppid()
    _LIBC.prctl(_PR_SET_PDEATHSIG, signal.SIGKILL)
    if os.getppid() != parent:  # it ended before the kernel knew what we wanted
        os._exit(EXIT_CODE)


def _watch(path: Path) -> None:
    deadline_s = read_deadline(path)
    while deadline_s is None or time.monotonic() < deadline_s:
        time.sleep(POLL_S)
        deadline_s = read_deadline(path) or deadline_s
    os._exit(EXIT_CODE)


def read_deadline(path: Path) -> float | None:
    """The deadline, or None while the file is missing or half-written (the last one holds on)."""
    try:
        return float(path.read_text())
    except (OSError, ValueError):
        return None
