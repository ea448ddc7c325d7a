"""The ranks of a launcher are ended at their deadline, even if they hang, and not before."""

import os
import sys
import time
from collections.abc import Callable, Iterator
from contextlib import suppress
from pathlib import Path

import psutil
import pytest

from orpo.contract.rundir import DEADLINE_FILE
from orpo.process import watchdog
from tests.e2e.wait import wait_for

# Replaces the interpreter of a rank: ignores SIGTERM, creates a file, runs `{then}`.
RANK = """#!{python}
import ctypes, os, pathlib, signal, sys
signal.signal(signal.SIGTERM, signal.SIG_IGN)
pathlib.Path(sys.argv[3], "begun-" + os.environ["RANK"]).touch()
{then}
"""


@pytest.fixture
def launch(tmp_path: Path) -> Iterator[Callable[[str], psutil.Popen]]:
    """Start two ranks and wait until they have begun; their deadline is `tmp_path`/deadline."""
    started = []

    def start(then: str) -> psutil.Popen:
        rank = tmp_path / "rank"
        rank.write_text(RANK.format(python=sys.executable, then=then))
        rank.chmod(0o700)
        command = [sys.executable, "-m", "orpo.ranks", "2", "train", str(tmp_path)]
        env = {DEADLINE_FILE: str(tmp_path / "deadline"), "PYTHON_EXEC": str(rank)}
        started.append(psutil.Popen(command, env=os.environ | env))
        wait_for(lambda: len([*tmp_path.glob("begun-*")]) == 2, 20)
        return started[-1]

    yield start
    for process in started:
        with suppress(psutil.NoSuchProcess):
            process.kill()


def extend(tmp_path: Path, by_s: float) -> None:
    (tmp_path / "deadline").write_text(str(time.monotonic() + by_s))


# The second blocks in one call with the GIL held, as a library may: other threads can't run.
@pytest.mark.parametrize("then", ["signal.pause()", "ctypes.PyDLL(None).sleep(60)"])
def test_they_end_when_the_deadline_passes_and_not_before(launch, tmp_path, then) -> None:
    launcher = launch(then)
    ranks = launcher.children()
    assert len(ranks) == 2
    extend(tmp_path, 1)
    time.sleep(0.5)
    extend(tmp_path, 1)  # a heartbeat
    time.sleep(0.7)
    assert all(rank.is_running() for rank in ranks)
    (tmp_path / "deadline").write_text("")  # half-written: the previous deadline holds
    assert launcher.wait(5) == watchdog.EXIT_CODE
    assert not any(rank.is_running() for rank in ranks)


def test_without_the_variable_no_deadline_passes() -> None:
    assert not watchdog.Deadline({}).has_passed()
