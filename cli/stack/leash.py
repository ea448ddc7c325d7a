"""Runs one program so that none of its processes survives: `leash.py [options] -- PROGRAM
ARGUMENT...`

Standard input is the lifeline: when its other end closes (the supervisor died, or requests a kill),
the program and all its descendants are killed, whatever sessions and groups they moved to. Started
as a file with `python -I -S`: uses the standard library only, and imports nothing else.
"""

import argparse
import ctypes
import os
import select
import signal
import subprocess
import sys
import time
from pathlib import Path
from typing import Any

PR_SET_PDEATHSIG = 1
PR_SET_CHILD_SUBREAPER = 36

GRACE_S = 3  # from the orphan signal to SIGKILL
# A shell starts background programs with INT and QUIT ignored.
INHERITABLE = (signal.SIGCHLD, signal.SIGTERM, signal.SIGINT, signal.SIGHUP, signal.SIGQUIT)
SWEEP_S = 6  # a process that blocks in the kernel this long can't be killed

libc = ctypes.CDLL(None, use_errno=True)


def prctl(option: int, value: int) -> None:
    if libc.prctl(option, ctypes.c_ulong(value), 0, 0, 0) != 0:
        raise OSError(ctypes.get_errno(), "prctl failed")


def parents() -> dict[int, int]:
    """Return the parent of every process."""
    found: dict[int, int] = {}
    for stat in Path("/proc").glob("[0-9]*/stat"):
        try:
            # The name, in parentheses, may hold any character; state and parent follow the last
            # parenthesis.
            found[int(stat.parent.name)] = int(stat.read_text().rpartition(")")[2].split()[1])
        except (OSError, IndexError, ValueError):
            continue  # it has ended meanwhile
    return found


def descendants(ancestor: int) -> list[int]:
    parent_of = parents()
    children_of: dict[int, list[int]] = {}
    for pid, parent in parent_of.items():
        children_of.setdefault(parent, []).append(pid)
    found = list(children_of.get(ancestor, []))
    for pid in found:  # grows during the loop
        found.extend(children_of.get(pid, []))
    return found


def reap() -> dict[int, int]:
    """Reap ended children, adopted orphans too: pid to exit code."""
    ended: dict[int, int] = {}
    while True:
        try:
            pid, status = os.waitpid(-1, os.WNOHANG)
        except ChildProcessError:
            return ended
        if pid == 0:
            return ended
        ended[pid] = os.waitstatus_to_exitcode(status)


def send(pid: int, number: int) -> None:
    try:
        os.kill(pid, number)
    except ProcessLookupError:
        return


def sweep() -> None:
    """Kill every descendant. This process is a subreaper and inherits the orphans, so none can
    escape.
    """
    deadline = time.monotonic() + SWEEP_S
    while (left := descendants(os.getpid())) and time.monotonic() < deadline:
        for pid in left:
            send(pid, signal.SIGKILL)
        reap()
        time.sleep(0.02)


def start(options: argparse.Namespace) -> subprocess.Popen[Any]:
    leash = os.getpid()

    def die_with_leash() -> None:
        # Set after the change of user, because that clears it.
        prctl(PR_SET_PDEATHSIG, signal.SIGKILL)
        if os.getppid() != leash:
            os._exit(1)

    account = {"user": options.user, "group": options.group, "extra_groups": []}
    return subprocess.Popen(
        options.argv,
        stdin=subprocess.DEVNULL,
        cwd=options.cwd,
        start_new_session=True,
        preexec_fn=die_with_leash,  # noqa: PLW1509 - the leash has one thread
        **(account if options.user is not None else {}),
    )


class Leash:
    def __init__(self, options: argparse.Namespace) -> None:
        self.options = options
        self.wake, wake_end = os.pipe()
        os.set_blocking(wake_end, False)
        signal.set_wakeup_fd(wake_end)
        # Handlers that do nothing, because the program would inherit "ignore".
        for number in INHERITABLE:
            signal.signal(number, lambda *_: None)
        prctl(PR_SET_CHILD_SUBREAPER, 1)
        # Keep a reference: a garbage-collected Popen would reap the program before we do.
        self.program = start(options)
        self.child = self.program.pid

    def run(self) -> int:
        """Return the program's exit code once it has ended; kill the processes that it left."""
        watched = [self.wake, sys.stdin.fileno()]
        deadline: float | None = None
        while True:
            patience_s = None if deadline is None else max(0.0, deadline - time.monotonic())
            readable, _, _ = select.select(watched, [], [], patience_s)
            if deadline is not None and not readable:
                sweep()
                return 128 + signal.SIGKILL
            if self.wake in readable:
                code = self.on_signal()
                if code is not None:
                    sweep()
                    return code
            if sys.stdin.fileno() in readable and not os.read(sys.stdin.fileno(), 64):
                watched.remove(sys.stdin.fileno())
                send(self.child, self.options.orphan)
                deadline = time.monotonic() + GRACE_S

    def on_signal(self) -> int | None:
        numbers = os.read(self.wake, 64)
        if signal.SIGTERM in numbers:
            send(self.child, self.options.stop)
        code = reap().get(self.child)
        return 128 - code if code is not None and code < 0 else code


def parse() -> argparse.Namespace:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--stop", type=int, default=signal.SIGTERM, help="what SIGTERM becomes")
    parser.add_argument("--orphan", type=int, default=signal.SIGKILL, help="sent when orphaned")
    parser.add_argument("--cwd", default=None)
    parser.add_argument("--user", type=int, default=None)
    parser.add_argument("--group", type=int, default=None)
    parser.add_argument("argv", nargs="+")
    return parser.parse_args()


if __name__ == "__main__":
    sys.exit(Leash(parse()).run())
