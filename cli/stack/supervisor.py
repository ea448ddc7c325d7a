"""Starts parts in their stages, restarts crashed ones, drains and stops all of them.

Knows only `process.Part`; prints through its reporter.
"""

import time
from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass
from itertools import groupby
from pathlib import Path
from typing import Protocol

import psutil

from cli.stack import leash
from cli.stack.errors import StackError
from cli.stack.process import Part, Process, Stage, wait_until

POLL_S = 0.1
BACKOFF_S = (0.5, 30.0)  # first and longest pause before a crashed part starts again
STEADY_S = 60  # the backoff resets once a part has run this long
STORES_S = 20  # for the stores to write everything and close
TAIL_LINES = 15


class Reporter(Protocol):
    def ready(self, part: Part, seconds: float) -> None: ...
    def restarting(self, part: Part, code: int, pause_s: float) -> None: ...
    def stopping(self, parts: Sequence[Part], timeout_s: float) -> None: ...
    def hurrying(self, timeout_s: float) -> None: ...
    def killing(self, part: Part) -> None: ...


class Stopped(Exception):
    """A stop was requested while the stack was still starting."""


@dataclass
class Tended:
    """A part, its process if it runs, and its number of consecutive crashes."""

    part: Part
    process: Process | None = None
    crashes: int = 0
    retry_at: float = 0

    def pause_s(self) -> float:
        first, longest = BACKOFF_S
        return min(longest, first * 2 ** (self.crashes - 1))


class Supervisor:
    def __init__(
        self,
        parts: Iterable[Part],
        logs: Path,
        reporter: Reporter,
        *,
        drain_s: float = 60,
        hurry_s: float = 10,
        meanwhile: Callable[[], None] = lambda: None,
    ) -> None:
        self.tended = [Tended(part) for part in sorted(parts, key=lambda part: part.stage)]
        self.logs = logs
        self.reporter = reporter
        self.drain_s = drain_s
        self.hurry_s = hurry_s
        self.meanwhile = meanwhile
        """Called repeatedly while the parts run; must be fast."""
        self.stop_requests = 0

    def request_stop(self, *_: object) -> None:
        """Safe in a signal handler. The second request shortens the drain."""
        self.stop_requests += 1

    def start(self) -> None:
        """Return when every part is ready; raise StackError if one fails to start."""
        # As a subreaper, this process inherits the orphans of a killed leash and can find them.
        leash.prctl(leash.PR_SET_CHILD_SUBREAPER, 1)
        for _, stage in groupby(self.tended, key=lambda tended: tended.part.stage):
            waiting = list(stage)
            for tended in waiting:
                self._launch(tended)
            while waiting := [tended for tended in waiting if not self._came_up(tended)]:
                time.sleep(POLL_S / 2)
        self.tended = [tended for tended in self.tended if not tended.part.once]

    def run(self) -> None:
        """Restart crashed parts until a stop is requested."""
        while not self.stop_requests:
            for tended in self.tended:
                self._tend(tended)
            self.meanwhile()
            time.sleep(POLL_S)

    def stop(self) -> None:
        """Stop everything, the stores last; return when no process is left."""
        stores = [tended for tended in self.tended if tended.part.stage is Stage.STORES]
        others = [tended for tended in self.tended if tended.part.stage is not Stage.STORES]
        self._drain(others, self.drain_s)
        self._drain(stores, STORES_S)
        self._kill_strays()

    def _launch(self, tended: Tended) -> None:
        tended.process = Process(tended.part, self.logs / f"{tended.part.name}.log")

    def _came_up(self, tended: Tended) -> bool:
        process = tended.process
        if self.stop_requests or process is None:
            raise Stopped
        seconds = time.monotonic() - process.started
        if process.is_ready():
            self.reporter.ready(tended.part, seconds)
            return True
        code = process.exit_code()
        if code is not None:
            raise StackError(self._why(process, f"ended with code {code}"))
        if seconds > tended.part.ready_timeout_s:
            raise StackError(self._why(process, f"was not ready after {seconds:.0f} s"))
        return False

    def _why(self, process: Process, what: str) -> str:
        tail = process.output().splitlines()[-TAIL_LINES:]
        indented = "\n".join(f"    {line}" for line in tail)
        return f"{process.part.title} {what}. The end of {process.log}:\n{indented}"

    def _tend(self, tended: Tended) -> None:
        now = time.monotonic()
        if tended.process is None:
            if now >= tended.retry_at:
                self._launch(tended)
            return
        code = tended.process.exit_code()
        if code is None:
            if now - tended.process.started > STEADY_S:
                tended.crashes = 0
            return
        tended.process.kill()
        if tended.process.lost_its_leash():
            self._kill_strays()
        tended.process = None
        tended.crashes += 1
        tended.retry_at = now + tended.pause_s()
        self.reporter.restarting(tended.part, code, tended.pause_s())

    def _drain(self, stopping: Sequence[Tended], timeout_s: float) -> None:
        running = [tended.process for tended in stopping if tended.process]
        running = [process for process in running if process.exit_code() is None]
        if not running:
            return
        self.reporter.stopping([process.part for process in running], timeout_s)
        for process in running:
            process.stop()
        for process in self._wait(running, timeout_s):
            self.reporter.killing(process.part)
            process.kill()
            process.wait(leash.GRACE_S + leash.SWEEP_S + 1)

    def _wait(self, running: Sequence[Process], timeout_s: float) -> list[Process]:
        """Return the processes that did not end in time."""
        hurried = False
        deadline = time.monotonic() + timeout_s
        left = list(running)
        while left and time.monotonic() < deadline:
            if self.stop_requests > 1 and not hurried:
                hurried = True
                deadline = min(deadline, time.monotonic() + self.hurry_s)
                self.reporter.hurrying(self.hurry_s)
            time.sleep(POLL_S / 2)
            left = [process for process in left if process.exit_code() is None]
        return left

    def _kill_strays(self) -> None:
        """Kill our children that are not leashes: orphans whose leash was killed."""
        wait_until(lambda: not self._kill_found_strays(), timeout_s=5)

    def _kill_found_strays(self) -> list[psutil.Process]:
        leashes = {tended.process.pid for tended in self.tended if tended.process}
        strays = [child for child in psutil.Process().children() if child.pid not in leashes]
        for stray in strays:
            for process in [*stray.children(recursive=True), stray]:
                process.kill()
        psutil.wait_procs(strays, timeout=1)
        return strays
