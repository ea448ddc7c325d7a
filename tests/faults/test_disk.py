"""Rows 9 and 10: a disk that is full during a save, and one flipped bit."""

import shutil
import subprocess
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from pathlib import Path

import pytest

from tests.faults import invariants
from tests.faults.stack import ENDLESS, EVERY, TWO_RANKS, Stack

pytestmark = pytest.mark.timeout(600)  # on a machine that others use, too


@contextmanager
def small_disk(folder: Path) -> Iterator[Path]:
    """Put a file system of 4 MB where the folder is, with what the folder holds."""
    kept = folder.with_name(f"{folder.name}.kept")
    folder.rename(kept)
    folder.mkdir()
    subprocess.run(["mount", "-t", "tmpfs", "-o", "size=4m", "tmpfs", folder], check=True)
    try:
        shutil.copytree(kept, folder, dirs_exist_ok=True)
        yield folder
    finally:
        subprocess.run(["umount", "--lazy", folder], check=True)


def fill(folder: Path, leave_bytes: int) -> None:
    """Write a file that leaves so much of the disk free."""
    free = shutil.disk_usage(folder).free
    with suppress(OSError), (folder / "filler").open("wb", buffering=0) as file:
        file.write(bytes(max(0, free - leave_bytes)))


def half_a_checkpoint(stack: Stack, job_id: str) -> int:
    """The bytes that a run needs until its next save, and half of what that needs."""
    path = stack.run_dir(job_id) / "metrics.jsonl"
    until_then = EVERY * path.stat().st_size // stack.step(job_id)
    return until_then + stack.checkpoints(job_id)[0]["size_bytes"] // 2


def nothing(*_: object) -> int:
    return 0


@pytest.mark.faults
@pytest.mark.parametrize("room", [half_a_checkpoint, nothing])
def test_row_09_a_full_disk(stack, seen, room):
    """The disk fills while a job trains: half a checkpoint fits, or no byte at all.

    Passes when the job fails as `disk_full` on its first claim, nothing half-written is left, the
    checkpoint before loads, and I1 to I8 hold. Guards: a save is written beside and renamed, what
    is half-written is removed, and a full disk ends the job, so that no further claim repeats it.
    """
    job_id = stack.create_paused(**ENDLESS)
    with small_disk(stack.folder.runs / job_id) as folder:
        stack.ask(job_id, "resume")
        stack.until_step(job_id, EVERY + 1)
        fill(folder, room(stack, job_id))
        job = stack.until_state(job_id, "failed", 60)
        assert (job["error"]["code"], job["generation"]) == ("disk_full", 1)
        assert not list(folder.glob("g*/checkpoints/*.tmp"))
        assert stack.checkpoints(job_id)
        invariants.hold(stack)
        saved = stack.checkpoints(job_id)[-1]["step"]
        seen(f"failed as disk_full at step {stack.step(job_id)}, step {saved} loads")


@pytest.mark.faults
def test_row_09_needs_final_errors(stack, seen):
    """The same, and a job with a full disk is claimed again and again."""
    for worker in stack.train_workers:
        stack.restart(worker.name, "final_errors")
    job_id = stack.create_paused(**ENDLESS)
    with small_disk(stack.folder.runs / job_id) as folder:
        stack.ask(job_id, "resume")
        stack.until_step(job_id, EVERY + 1)
        fill(folder, half_a_checkpoint(stack, job_id))
        stack.until(job_id, lambda job: job["generation"] == 2, 60)
        stack.end_all()
    seen("without it the job was claimed again")


def flip_a_bit(path: Path) -> None:
    content = bytearray(path.read_bytes())
    content[len(content) // 2] ^= 1
    path.write_bytes(content)


@pytest.mark.faults
def test_row_10_a_flipped_bit(stack, faultless, seen):
    """One bit of the newest checkpoint's state is flipped while its job is paused.

    Passes when the damage is found at the resume, the run goes on from the checkpoint before, and
    I1 to I8 hold. Guard: every file's sha256 in the manifest, checked before anything is loaded.
    """
    job_id = stack.create(**TWO_RANKS)
    stack.until_step(job_id, 2 * EVERY + 5)
    stack.ask(job_id, "pause")
    stack.until_state(job_id, "paused")
    newest, before = stack.checkpoints(job_id)[-1], stack.checkpoints(job_id)[-2]
    flip_a_bit(stack.folder.runs / newest["path"] / "state" / "training.safetensors")
    stack.ask(job_id, "resume")
    assert stack.until_state(job_id, "succeeded")["generation"] == 3
    (resumed,) = stack.events(job_id, "resumed")
    assert resumed["first_step"] == before["step"] + 1
    invariants.hold(stack)
    seen(f"step {newest['step']} was refused, step {before['step']} taken")
