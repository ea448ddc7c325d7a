"""`python -m orpo.ranks N VERB RUN_DIR`: start the N ranks of a run on this machine and wait for
them.

Replaces torchrun, whose rendezvous listens on all interfaces and unpickles received data. Ranks
find each other through a file in the run directory (`parallel.py`), or at the address in MEETING,
for a run on several nodes. Imports no torch: it starts in 50 ms.
"""

import argparse
import os
import signal
import subprocess
import sys
import time
from collections.abc import Sequence
from pathlib import Path
from types import FrameType

from orpo.contract.failures import PAST_DEADLINE, STOPPED
from orpo.contract.rundir import LOCAL_RANK, LOCAL_WORLD_SIZE, RANK, STORE, WORLD_SIZE
from orpo.process import watchdog

# After one rank has failed, the others have this long to report why they can't continue.
GRACE_S = 3.0
POLL_S = 0.05


def main(arguments: Sequence[str] | None = None) -> int:
    """Return 0, 75 if the ranks stopped on request, 70 if their deadline has passed, or the status
    of the first that failed.
    """
    parser = argparse.ArgumentParser(prog="orpo.ranks", description=__doc__)
    parser.add_argument("ranks", type=int, help="ranks on this machine")
    parser.add_argument("verb", choices=("train", "estimate", "deep_audit"))
    parser.add_argument("run_dir", type=Path)
    parser.add_argument("--nodes", type=int, default=1, help="machines, each with as many ranks")
    parser.add_argument("--node", type=int, default=0, help="which of them this one is")
    options = parser.parse_args(arguments)
    store = options.run_dir / STORE
    if options.nodes == 1:
        _make_private(store)
    status = Ranks(options).wait()
    store.unlink(missing_ok=True)
    return status


def _make_private(store: Path) -> None:
    """Leave an empty file that only this user may read and write."""
    store.unlink(missing_ok=True)
    os.close(os.open(store, os.O_CREAT | os.O_EXCL, 0o600))


class Ranks:
    """The ranks of this machine. SIGTERM is forwarded to them: they save a checkpoint and end."""

    def __init__(self, options: argparse.Namespace) -> None:
        self.is_stopping = False
        self.processes: list[subprocess.Popen[bytes]] = []
        signal.signal(signal.SIGTERM, self._hand_on)
        # Fault tests set PYTHON_EXEC; torchrun reads the same variable.
        command = [os.environ.get("PYTHON_EXEC", sys.executable), "-m", f"orpo.{options.verb}"]
        for local_rank in range(options.ranks):
            self.processes.append(
                subprocess.Popen(
                    [*command, str(options.run_dir)],
                    env=_environment(options, local_rank),
                    # A rank must not outlive this process, even if it is killed.
                    preexec_fn=watchdog.die_with_parent,  # noqa: PLW1509  there is one thread
                )
            )
            if self.is_stopping:
                self.processes[-1].terminate()

    def _hand_on(self, _signal: int, _frame: FrameType | None) -> None:
        self.is_stopping = True
        for process in self.processes:
            process.terminate()

    def wait(self) -> int:
        """Wait until every rank has ended. Kill all ranks at their deadline (`watchdog`), and the
        remaining ranks some seconds after the first failure.
        """
        deadline = watchdog.Deadline()
        failed_at, status = 0.0, 0
        while self._alive():
            if deadline.has_passed():
                self._kill()
                return PAST_DEADLINE
            status = status or self._failure()
            if status:
                failed_at = failed_at or time.monotonic()
                if time.monotonic() - failed_at > GRACE_S:
                    self._kill()
            time.sleep(POLL_S)
        stopped = any(process.returncode == STOPPED for process in self.processes)
        return status or self._failure() or (STOPPED if stopped else 0)

    def _kill(self) -> None:
        alive = self._alive()
        for process in alive:
            process.kill()
        for process in alive:
            process.wait()

    def _alive(self) -> list[subprocess.Popen[bytes]]:
        return [process for process in self.processes if process.poll() is None]

    def _failure(self) -> int:
        """The exit status of a rank that has failed, as a shell gives it; 0 if none has."""
        ended = (process.returncode for process in self.processes)
        failed = next((code for code in ended if code not in (None, 0, STOPPED)), 0)
        return failed if failed >= 0 else 128 - failed


def _environment(options: argparse.Namespace, local_rank: int) -> dict[str, str]:
    """The variables from which a rank reads its place; the names are torchrun's."""
    place = {
        RANK: options.node * options.ranks + local_rank,
        WORLD_SIZE: options.nodes * options.ranks,
        LOCAL_RANK: local_rank,
        LOCAL_WORLD_SIZE: options.ranks,
    }
    # Libraries that create threads at import would create one per core in each rank.
    threads = {"OMP_NUM_THREADS": "1"} if options.ranks > 1 else {}
    return {**threads, **os.environ, **{name: str(value) for name, value in place.items()}}
