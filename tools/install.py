"""Installs everything into `.venv`: run by `make setup` before anything is installed.

Standard library only. Knows nothing of how the platform uses the packages.
"""

import fcntl
import hashlib
import os
import selectors
import subprocess
import sys
import time
from collections import deque
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path

ROOT = Path(__file__).resolve().parent.parent
VENV = ROOT / ".venv"
PYTHON = VENV / "bin" / "python"
LOG = ROOT / ".install.log"
STAMP = VENV / "installed"
LOCK = ROOT / "requirements.lock"
TOOLS = ROOT / "docker" / "requirements-tools.txt"

HASHED = ["--no-deps", "--require-hashes"]
# pip compiles by default, uv does not. A process that may not write here would compile the files at
# each start: every sandboxed process, and every process if PYTHONDONTWRITEBYTECODE is set.
COMPILED = ["--compile-bytecode"]
# pip installs torch with its dependencies, because pip knows the configured sources of torch builds
# and uv does not. Each source has its own build, so no hash can be given; see docs/decisions/0002.
TORCH = "torch==2.13.0"
# `compat` puts the project's folder on the path, so that Python finds a new package at once.
EDITABLE = [
    "--no-deps",
    "--no-build-isolation",
    "--config-settings",
    "editable_mode=compat",
    "-e",
    str(ROOT),
]

# Seconds on two cores with a fast network; they only shape the bar and its first estimate.
EXPECTED_S = {"environment": 4, "uv": 3, "locked packages": 40, "torch": 22, "oddsmith": 3}


class Failed(Exception):
    """A step ended with an error; the message is what the user reads."""


def stamp() -> str:
    parts = [LOCK, TOOLS, ROOT / "pyproject.toml", Path(__file__)]
    digest = hashlib.sha256(b"\0".join(part.read_bytes() for part in parts)).hexdigest()
    return f"{ROOT}\n{digest}\n"


def is_installed() -> bool:
    return PYTHON.exists() and STAMP.exists() and STAMP.read_text() == stamp()


def was_moved() -> bool:
    """Whether the folder was moved: an environment's scripts contain its path and would not
    start.
    """
    return STAMP.exists() and STAMP.read_text().splitlines()[0] != str(ROOT)


class Bar:
    """One line with step, progress and time left; on a pipe, one line per step."""

    def __init__(self) -> None:
        self.live = sys.stdout.isatty()
        self.started = self.step_started = time.monotonic()
        self.done: list[str] = []
        self.step = ""

    def begin(self, step: str) -> None:
        self.step, self.step_started = step, time.monotonic()
        self.draw("")

    def draw(self, detail: str) -> None:
        if not self.live:
            return
        expected = EXPECTED_S[self.step]
        spent = time.monotonic() - self.step_started
        past = sum(EXPECTED_S[name] for name in self.done)
        # The bar of a step that takes longer than expected slows down and never reaches 100 %.
        share = (past + expected * spent / (spent + expected / 2)) / sum(EXPECTED_S.values())
        left_s = (time.monotonic() - self.started) * (1 - share) / max(share, 0.01)
        filled = "█" * int(20 * share)
        line = f"  {filled:░<20} {share:4.0%}  about {left_s:3.0f} s left  {self.step}  {detail}"
        columns = os.get_terminal_size().columns
        print(f"\r\033[2K{line[: columns - 1]}", end="", flush=True)

    def end(self) -> None:
        clear = "\r\033[2K" if self.live else ""
        spent = time.monotonic() - self.step_started
        print(f"{clear}  ✓ {self.step:<18} {spent:6.1f} s", flush=True)
        self.done.append(self.step)


def follow(argv: list[str], bar: Bar) -> int:
    """Run a program, write its output to the log, and show its last line beside the bar."""
    env = os.environ | {"PIP_ROOT_USER_ACTION": "ignore", "PIP_DISABLE_PIP_VERSION_CHECK": "1"}
    with (
        LOG.open("ab") as log,
        selectors.DefaultSelector() as ready,
        subprocess.Popen(
            argv,
            stdin=subprocess.DEVNULL,
            stdout=subprocess.PIPE,
            stderr=subprocess.STDOUT,
            env=env,
        ) as process,
    ):
        log.write(f"$ {' '.join(argv)}\n".encode())
        output = process.stdout.fileno() if process.stdout else -1
        ready.register(output, selectors.EVENT_READ)
        last = ""
        while True:
            if ready.select(timeout=0.2):
                chunk = os.read(output, 65536)
                if not chunk:
                    return process.wait()
                log.write(chunk)
                last = chunk.decode(errors="replace").strip().rpartition("\n")[2] or last
            bar.draw(last)


def run(argv: list[str], bar: Bar) -> None:
    if follow(argv, bar) == 0:
        return
    tail = deque(LOG.read_text(errors="replace").splitlines(), maxlen=15)
    raise Failed("\n".join([*tail, "", f"This step failed: {bar.step}. The whole log: {LOG}"]))


def install(arguments: list[str], bar: Bar) -> None:
    """Install with uv, which is several times faster; if uv fails, with pip.

    uv reads neither pip's configured sources nor its certificates, so behind a mirror only pip may
    work. A package without a wheel is built with the setuptools whose hash is known.
    """
    uv = [str(PYTHON), "-m", "uv", "pip", "install", "--python", str(PYTHON)]
    if follow([*uv, *COMPILED, "--build-constraints", str(TOOLS), *arguments], bar) != 0:
        pip(["--no-build-isolation", *arguments], bar)


def pip(arguments: list[str], bar: Bar) -> None:
    run([str(PYTHON), "-m", "pip", "install", *arguments], bar)


def environment(bar: Bar) -> None:
    if was_moved() or not PYTHON.exists():
        run([sys.executable, "-m", "venv", "--clear", str(VENV)], bar)


STEPS: dict[str, Callable[[Bar], None]] = {
    "environment": environment,
    "uv": lambda bar: pip([*HASHED, "-r", str(TOOLS)], bar),
    "locked packages": lambda bar: install([*HASHED, "-r", str(LOCK)], bar),
    # After the locked packages, so that it adds only missing dependencies.
    "torch": lambda bar: pip([TORCH], bar),
    "oddsmith": lambda bar: install(EDITABLE, bar),
}


def install_all() -> None:
    bar = Bar()
    for name, step in STEPS.items():
        bar.begin(name)
        step(bar)
        bar.end()
    STAMP.write_text(stamp())


@contextmanager
def only_one() -> Iterator[None]:
    """Make a second `make` in the same folder wait for the first."""
    with (ROOT / "pyproject.toml").open() as lock:
        fcntl.flock(lock, fcntl.LOCK_EX)
        yield


def main() -> int:
    if is_installed():
        return 0
    if sys.version_info < (3, 11):  # noqa: UP036 - run by whatever Python the machine has
        print("Oddsmith needs Python 3.11 or newer: make setup PYTHON=/path/to/python3.11")
        return 1
    with only_one():
        if is_installed():
            return 0
        print(f"Installing into {VENV} (once)", flush=True)
        try:
            install_all()
        except Failed as failure:
            print(f"\n{failure}", file=sys.stderr)
            return 1
    return 0


if __name__ == "__main__":
    sys.exit(main())
