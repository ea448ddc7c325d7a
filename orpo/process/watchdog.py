"""Ends training processes when the process that started them is gone or has been replaced.

`ODDSMITH_DEADLINE_FILE` names a file holding a CLOCK_MONOTONIC time in seconds, which the worker
extends at each heartbeat. Knows nothing of leases, databases or training.
"""

import ctypes
import math
import os
import signal
import time
from collections.abc import Mapping
from contextlib import suppress
from pathlib import Path

from orpo.contract.failures import PAST_DEADLINE
from orpo.contract.rundir import DEADLINE_FILE

_PR_SET_PDEATHSIG = 1
_LIBC = ctypes.CDLL(None, use_errno=True)


class Deadline:
    """The time at which the ranks of a launcher end, unless the worker extends it.

    The launcher watches it. A thread in each rank would not do: it waits while a long call holds
    the interpreter, and it stops before a rank that shuts down has ended.
    """

    def __init__(self, environ: Mapping[str, str] = os.environ) -> None:
        name = environ.get(DEADLINE_FILE)
        self._path = Path(name) if name else None
        self._at_s = math.inf

    def has_passed(self) -> bool:
        """Read the file again; while it is missing or half-written, the last known time counts."""
        if self._path is not None:
            with suppress(OSError, ValueError):
                self._at_s = float(self._path.read_text())
        return time.monotonic() >= self._at_s


def die_with_parent() -> None:
    """Make the Linux kernel SIGKILL this process when its parent ends for any reason.

    Call it between fork and exec: the setting survives exec, so the process is never without it.
    """
    parent = os.getppid()
    _LIBC.prctl(_PR_SET_PDEATHSIG, signal.SIGKILL)
    if os.getppid() != parent:  # the parent ended before the call
        os._exit(PAST_DEADLINE)
