"""Gate 3 at any moment: after a kill or a full disk, each committed checkpoint is complete, and the
resumed run equals an undisturbed run, bit for bit.
"""

import shutil
import signal
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from orpo.contract.manifest import verify
from orpo.contract.rundir import checkpoints
from tests.orpo.moments import Moments, fill_the_disk, kill
from tests.orpo.tiny_run import (
    Bench,
    assert_same,
    checkpoint,
    fork_single,
    join,
    numbers,
    write_pairs,
)

STEPS = 4
SETTINGS: dict[str, Any] = {
    "max_steps": STEPS, "batch_size": 3, "eval_every": 2, "checkpoint_every": 1, "sample_tokens": 2,
    "max_held_out": 2,
}  # fmt: skip
DISK_FULL = 5

pytestmark = pytest.mark.slow


@dataclass(frozen=True)
class Undisturbed:
    """An undisturbed run, and its number of moments."""

    bench: Bench
    run: Path
    moments: int

    def disturbed(self, folder: Path, at: int, act: Callable[[str], None]) -> tuple[Bench, int]:
        """Make the same run with `act` at moment `at`; return it and its exit status."""
        shutil.copy(self.bench.train_path, folder)
        bench = Bench(folder, self.bench.base, folder / self.bench.train_path.name)
        child = fork_single(bench.spec("disturbed", **SETTINGS), Moments(folder, at, act).watch)
        (status,) = join([child])
        assert status is not None
        return bench, status

    def assert_goes_on(self, bench: Bench) -> None:
        """Resume from the last committed checkpoint, or restart, and compare with this run."""
        saved = checkpoints(bench.folder / "disturbed")
        steps = [verify(folder).step for folder in saved]
        last = saved[-1] if saved else None
        again = bench.run("again", resume_from=last, **SETTINGS)
        end = (checkpoints(again) or saved)[-1]
        assert_same(checkpoint(self.run, STEPS), end)
        assert numbers(again) == numbers(self.run, after=steps[-1] if steps else -1)


@pytest.fixture(scope="module")
def undisturbed(tmp_path_factory: pytest.TempPathFactory, tiny_base: Path) -> Undisturbed:
    """The undisturbed run, made once."""
    folder = tmp_path_factory.mktemp("undisturbed")
    bench = Bench(folder, tiny_base, write_pairs(folder / "pairs.jsonl", 10))
    run, moments = bench.spec("whole", **SETTINGS), Moments(folder)
    assert join([fork_single(run, moments.watch)]) == [0]
    return Undisturbed(bench, run, moments.passed.value)


@settings(max_examples=15, deadline=None, derandomize=True, database=None)
@given(data=st.data())
def test_killed_at_any_moment_it_goes_on_as_if_it_had_not_been(
    undisturbed: Undisturbed, tmp_path_factory: pytest.TempPathFactory, data: st.DataObject
) -> None:
    at = data.draw(st.integers(1, undisturbed.moments), label="moment")
    folder = tmp_path_factory.mktemp("killed")
    bench, status = undisturbed.disturbed(folder, at, kill)
    assert status == -signal.SIGKILL
    undisturbed.assert_goes_on(bench)


@settings(max_examples=15, deadline=None, derandomize=True, database=None)
@given(data=st.data())
def test_a_disk_that_fills_up_at_any_moment_costs_what_was_not_yet_saved(
    undisturbed: Undisturbed, tmp_path_factory: pytest.TempPathFactory, data: st.DataObject
) -> None:
    at = data.draw(st.integers(1, undisturbed.moments), label="moment")
    folder = tmp_path_factory.mktemp("full")
    bench, status = undisturbed.disturbed(folder, at, fill_the_disk)
    assert status == DISK_FULL
    assert not list(folder.glob("disturbed/checkpoints/*.tmp"))
    undisturbed.assert_goes_on(bench)
