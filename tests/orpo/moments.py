"""Numbers the moments at which a run changes its folder or its weights, so that a test can kill it
or fill the disk at any of them.
"""

import errno
import os
import signal
import sys
from collections.abc import Callable
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from orpo.run import checkpoint
from orpo.strategies.strategy import Replicated
from tests.orpo.tiny_run import FORK

WRITES = ("open", "os.mkdir", "os.rename", "os.write", "os.fsync", "save_file")
DELETIONS = ("os.remove", "shutil.rmtree")
WRITING = os.O_WRONLY | os.O_RDWR


def kill(_what: str) -> None:
    """SIGKILL: no handler runs, no buffer is flushed."""
    os.kill(os.getpid(), signal.SIGKILL)


def fill_the_disk(what: str) -> None:
    """Earlier writes stay; this write and all later writes fail."""
    if what in WRITES:
        raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC))


@dataclass
class Moments:
    """Counts a process's moments. From number `at` on, calls `act` with the operation that comes
    next. Opening a journal does not count.
    """

    folder: Path
    at: int = sys.maxsize
    act: Callable[[str], None] = kill
    passed: Any = field(default_factory=lambda: FORK.RawValue("i", 0))  # shared with the parent

    def watch(self) -> None:
        """Begin. It can't be undone, so call it in the run's own process."""
        sys.addaudithook(self._audit)
        for owner, name in (
            (os, "write"), (os, "fsync"), (checkpoint, "save_file"), (Replicated, "step"),
        ):  # fmt: skip
            setattr(owner, name, self._counted(getattr(owner, name), name))

    def _audit(self, event: str, args: tuple[Any, ...]) -> None:
        if event not in (*WRITES, *DELETIONS) or not str(args[0]).startswith(str(self.folder)):
            return
        if event == "open" and (not args[2] & WRITING or str(args[0]).endswith(".jsonl")):
            return
        self._pass(event)

    def _counted(self, function: Callable[..., Any], name: str) -> Callable[..., Any]:
        def counted(*args: Any, **kwargs: Any) -> Any:
            self._pass(f"os.{name}" if function.__module__ == "posix" else name)
            return function(*args, **kwargs)

        return counted

    def _pass(self, what: str) -> None:
        self.passed.value += 1
        if self.passed.value >= self.at:
            self.act(what)
