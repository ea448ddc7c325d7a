"""The launcher of ranks: it starts them, stops them, and ends them together."""

import os
import signal
import subprocess
import sys
import time
from pathlib import Path

import psutil
import pytest

from orpo.contract.failures import PAST_DEADLINE
from orpo.contract.rundir import DEADLINE_FILE
from orpo.process import watchdog

# Replaces the interpreter of a rank: prints its ranks and runs the test's code, `{then}`.
RANK = """#!{python}
import os, pathlib, signal, sys
place = [os.environ[n] for n in ("RANK", "LOCAL_RANK", "WORLD_SIZE", "LOCAL_WORLD_SIZE")]
signal.signal(signal.SIGTERM, lambda *_: sys.exit(75))
os.write(1, (" ".join([*sys.argv[1:3], *place]) + "\\n").encode())
{then}
"""


@pytest.fixture
def launch(tmp_path: Path):
    started = []

    def start(then: str, *arguments: str) -> subprocess.Popen[str]:
        rank = tmp_path / "rank"
        rank.write_text(RANK.format(python=sys.executable, then=then))
        rank.chmod(0o700)
        command = [sys.executable, "-m", "orpo.ranks", "2", "train", str(tmp_path), *arguments]
        own = {"PYTHON_EXEC": str(rank), DEADLINE_FILE: str(tmp_path / "deadline")}
        env = os.environ | own
        process = subprocess.Popen(command, env=env, stdout=subprocess.PIPE, text=True)
        started.append(process)
        return process

    yield start
    for process in started:
        process.kill()
        process.communicate()


def lines(process: subprocess.Popen[str], n: int) -> list[str]:
    assert process.stdout
    return sorted(process.stdout.readline().strip() for _ in range(n))


def test_each_rank_knows_its_place_and_the_store_is_private(launch, tmp_path: Path) -> None:
    process = launch("signal.pause()")
    assert lines(process, 2) == ["-m orpo.train 0 0 2 2", "-m orpo.train 1 1 2 2"]
    assert (tmp_path / "store").stat().st_mode & 0o777 == 0o600
    process.terminate()
    assert process.wait(10) == 75
    assert not (tmp_path / "store").exists()


def test_a_further_node_counts_on(launch) -> None:
    process = launch("sys.exit()", "--nodes=2", "--node=1")
    assert lines(process, 2) == ["-m orpo.train 2 0 4 2", "-m orpo.train 3 1 4 2"]
    assert process.wait(10) == 0


def test_ranks_that_fail_together_say_why_by_themselves(launch) -> None:
    assert launch("sys.exit(3)").wait(20) == 3


@pytest.mark.slow
def test_a_killed_rank_ends_the_others(launch) -> None:
    process = launch('place[0] == "1" and os.kill(os.getpid(), signal.SIGKILL)\nsignal.pause()')
    assert process.wait(20) == 128 + signal.SIGKILL


def extend(tmp_path: Path, by_s: float) -> None:
    (tmp_path / "deadline").write_text(str(time.monotonic() + by_s))


# The second holds the interpreter in one call, as a library may: its other threads stand still.
@pytest.mark.slow
@pytest.mark.parametrize("then", ["signal.pause()", "ctypes.PyDLL(None).sleep(60)"])
def test_they_end_when_the_deadline_passes_and_not_before(launch, tmp_path, then) -> None:
    process = launch(f"import ctypes\nsignal.signal(signal.SIGTERM, signal.SIG_IGN)\n{then}")
    assert len(lines(process, 2)) == 2
    ranks = psutil.Process(process.pid).children()
    assert len(ranks) == 2
    extend(tmp_path, 1)
    time.sleep(0.5)
    extend(tmp_path, 1)  # a heartbeat
    time.sleep(0.7)
    assert all(rank.is_running() for rank in ranks)
    (tmp_path / "deadline").write_text("")  # half-written: the last known time counts
    assert process.wait(5) == PAST_DEADLINE
    assert not any(rank.is_running() for rank in ranks)


def test_without_the_variable_no_deadline_passes() -> None:
    assert not watchdog.Deadline({}).has_passed()
