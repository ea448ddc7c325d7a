"""A part of the stack, and its process under a leash.

Knows how to start, stop and kill one; the supervisor handles order, restarts and the terminal.
"""

import signal
import subprocess
import sys
import time
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass, field
from enum import IntEnum
from pathlib import Path
from typing import NamedTuple

import psutil

from cli.stack.errors import StackError

LEASH = Path(__file__).with_name("leash.py")
ROTATE_BYTES = 16 * 2**20
SETTLE_S = 0.5  # a part without a readiness check is ready when it has run this long
STOP_S = 10


class Stage(IntEnum):
    """Parts that start together; a stage starts after the previous one is ready, and stops before
    it.
    """

    STORES = 0
    SCHEMA = 1
    SEED = 2
    SERVICES = 3


class Account(NamedTuple):
    uid: int
    gid: int


@dataclass(frozen=True)
class Part:
    name: str
    argv: tuple[str, ...]
    title: str = ""
    detail: str = ""
    env: Mapping[str, str] = field(default_factory=dict)
    cwd: Path = Path()
    account: Account | None = None
    stage: Stage = Stage.SERVICES
    once: bool = False
    """True for a step, which is done when it ends with 0."""
    ready: Callable[[], bool] | None = None
    ready_text: str = ""
    """The part is ready once its log contains this text."""
    ready_timeout_s: float = 60
    stop_signal: signal.Signals = signal.SIGTERM
    orphan_signal: signal.Signals = signal.SIGKILL


class Process:
    def __init__(self, part: Part, log: Path) -> None:
        self.part = part
        self.log = log
        self.started = time.monotonic()
        rotate(log)
        self._log_start = log.stat().st_size if log.exists() else 0
        with log.open("ab") as output:
            self._leash = subprocess.Popen(
                leash_argv(part),
                stdin=subprocess.PIPE,
                stdout=output,
                stderr=subprocess.STDOUT,
                env=dict(part.env),
                start_new_session=True,
            )

    @property
    def pid(self) -> int:
        """The pid of the leash, whose only child is the program itself."""
        return self._leash.pid

    def is_ready(self) -> bool:
        if self.part.once:
            return self.exit_code() == 0
        if self.part.ready:
            return self.part.ready()
        if self.part.ready_text:
            return self.part.ready_text in self.output()
        return time.monotonic() - self.started > SETTLE_S and self.exit_code() is None

    def output(self) -> str:
        with self.log.open("rb") as file:
            file.seek(self._log_start)
            return file.read().decode(errors="replace")

    def exit_code(self) -> int | None:
        return self._leash.poll()

    def lost_its_leash(self) -> bool:
        """Whether the leash itself was killed, so that descendants may have survived it."""
        code = self.exit_code()
        return code is not None and code < 0

    def stop(self) -> None:
        self._leash.send_signal(signal.SIGTERM)

    def kill(self) -> None:
        """Close the lifeline: the leash kills the whole tree."""
        if self._leash.stdin and not self._leash.stdin.closed:
            self._leash.stdin.close()

    def wait(self, timeout_s: float) -> bool:
        try:
            self._leash.wait(timeout_s)
        except subprocess.TimeoutExpired:
            return False
        return True

    def close(self, timeout_s: float) -> None:
        """Stop it; kill it if it has not ended in time."""
        self.stop()
        if not self.wait(timeout_s):
            self.kill()
            self._leash.wait()
        self.kill()


@contextmanager
def running(part: Part, logs: Path) -> Iterator[Process]:
    """Run a part until the block ends."""
    process = Process(part, logs / f"{part.name}.log")
    try:
        if not wait_until(process.is_ready, timeout_s=part.ready_timeout_s):
            raise StackError(f"{part.title} did not start:\n{process.output()}")
        yield process
    finally:
        process.close(STOP_S)


def leash_argv(part: Part) -> list[str]:
    account = part.account
    whose = ["--user", str(account.uid), "--group", str(account.gid)] if account else []
    signals = ["--stop", str(int(part.stop_signal)), "--orphan", str(int(part.orphan_signal))]
    where = ["--cwd", str(part.cwd)]
    return [sys.executable, "-I", "-S", str(LEASH), *signals, *whose, *where, "--", *part.argv]


def rotate(log: Path) -> None:
    if log.exists() and log.stat().st_size > ROTATE_BYTES:
        log.replace(log.with_suffix(".log.1"))


def has_ended(process: psutil.Process) -> bool:
    """Whether it has ended, even if its parent has not reaped it yet."""
    try:
        return not process.is_running() or process.status() == psutil.STATUS_ZOMBIE
    except psutil.NoSuchProcess:
        return True


def wait_until(
    condition: Callable[[], bool], *, timeout_s: float, interval_s: float = 0.05
) -> bool:
    deadline = time.monotonic() + timeout_s
    while not condition():
        if time.monotonic() > deadline:
            return False
        time.sleep(interval_s)
    return True
