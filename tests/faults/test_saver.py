"""Row 10: the saver, with no training around it, is killed anywhere; a checkpoint is damaged."""

import random
import shutil
import time
from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path

import pytest

from orpo.contract import manifest
from orpo.contract.rundir import STORE, checkpoints
from orpo.contract.spec import read_spec
from orpo.process import parallel
from orpo.process.stopping import Stopping
from orpo.run import checkpoint, train
from orpo.run.checkpoint import resume
from orpo.run.journal import Journal
from tests.faults.test_disk import flip_a_bit
from tests.orpo.tiny_run import FORK, Bench, write_base, write_pairs

pytestmark = pytest.mark.timeout(600)  # on a machine that others use, too

KILLS = 50


@pytest.fixture
def saver(tmp_path: Path):
    """A run that has made its first step and is ready to save."""
    bench = Bench(tmp_path, write_base(tmp_path / "base"), write_pairs(tmp_path / "rows.jsonl", 12))
    run_dir = bench.spec("run")
    spec = read_spec(run_dir)
    with Journal(run_dir) as journal:
        group = parallel.start(spec.method, run_dir / STORE)
        run = train.Run(spec, run_dir, group, journal, Stopping())
        run.step()
        yield run


def save_for_ever(run, first_step: int) -> None:
    """In a forked child: one checkpoint after another, until it is killed."""
    known = run.checkpoints
    run.checkpoints = checkpoint.Checkpoints(
        run.run_dir, run.spec, known.fingerprint, run.tokenizer, known.prompts
    )
    for step in range(first_step, first_step + 10_000):
        run.progress = replace(run.progress, step=step)
        run._save()


def kill_savers(run) -> Iterator[list[Path]]:
    """Kill a saver at a random moment, again and again; yields what is committed after each."""
    rng, step = random.Random(10), 2
    began = time.monotonic()
    run._save()
    save_s = time.monotonic() - began
    for _ in range(KILLS):
        before = len(checkpoints(run.run_dir))
        child = FORK.Process(target=save_for_ever, args=(run, step))
        child.start()
        while len(checkpoints(run.run_dir)) == before and child.is_alive():
            time.sleep(0.001)
        time.sleep(rng.uniform(0, 2 * save_s))
        child.kill()
        child.join()
        folders = checkpoints(run.run_dir)
        yield folders
        step = int(folders[-1].name.removeprefix("step-")) + 1


@pytest.mark.faults
def test_row_10_a_killed_saver(saver, seen):
    """SIGKILL to the saver, alone, at 50 random moments.

    Passes when each time every folder that has a checkpoint's name is whole, and a resume takes the
    newest. Guard: files are written beside, forced to the disk, and renamed.
    """
    folders: list[Path] = []
    for folders in kill_savers(saver):
        for folder in folders[-3:]:
            manifest.verify(folder)
        progress = resume(folders[-1], saver.checkpoints.fingerprint, saver.strategy)
        assert progress.step == int(folders[-1].name.removeprefix("step-"))
    seen(f"{KILLS} kills, {len(folders)} checkpoints, all whole")


@pytest.mark.faults
def test_row_10_needs_the_rename(saver, monkeypatch, seen):
    """The same, and checkpoints are written in place: half-written ones have their names."""

    rmtree = shutil.rmtree
    monkeypatch.setattr(Path, "with_name", lambda path, name: path)
    monkeypatch.setattr(manifest, "commit", lambda folder, found, _: manifest.write(folder, found))
    monkeypatch.setattr(checkpoint.shutil, "rmtree", lambda path, ignore_errors=False: None)
    damaged = 0
    for folders in kill_savers(saver):
        try:
            manifest.verify(folders[-1])
        except manifest.Damaged:
            damaged += 1
            rmtree(folders[-1])
    assert damaged
    seen(f"without it {damaged} of {KILLS} were half there")


@pytest.mark.faults
def test_row_10_needs_the_hashes(saver, monkeypatch, seen):
    """The same, and the hashes of a manifest are not checked: the damaged state is loaded."""

    saver._save()
    (folder,) = checkpoints(saver.run_dir)
    flip_a_bit(folder / "state" / "training.safetensors")
    with pytest.raises(manifest.Damaged):
        resume(folder, saver.checkpoints.fingerprint, saver.strategy)
    monkeypatch.setattr(manifest, "verify", manifest.read)
    assert resume(folder, saver.checkpoints.fingerprint, saver.strategy).step == 1
    seen("without it the damaged state was loaded")
