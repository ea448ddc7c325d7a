"""Beyond the table: files edited or gone under a running job, no inode left, a second stack."""

import shutil
import subprocess
from contextlib import contextmanager
from dataclasses import replace

import pytest

from tests.e2e.wait import wait_for
from tests.faults import invariants
from tests.faults.program import Program
from tests.faults.stack import ENDLESS, EVERY, SHORT, TWO_RANKS, Stack

pytestmark = [pytest.mark.faults, pytest.mark.timeout(600)]


def test_specs_edited_on_disk_change_nothing(stack: Stack, faultless):
    """What a run reads is written from the database at each claim."""
    job_id = stack.create_paused(**TWO_RANKS)
    data = stack.folder.runs / job_id / "data" / "spec.json"
    data.write_text(data.read_text().replace('"seed": 7', '"seed": 8'))
    stack.ask(job_id, "resume")
    stack.until_step(job_id, EVERY + 5)
    (stack.run_dir(job_id) / "spec.json").write_text("{")
    stack.holder(job_id).kill()
    assert stack.until_state(job_id, "succeeded")["generation"] == 2
    invariants.hold(stack)


def test_a_run_directory_that_is_deleted_ends_its_job_with_a_sentence(stack: Stack):
    """Its data is gone with it, so no claim could bring it to its end."""
    job_id = stack.create(**ENDLESS)
    stack.until_step(job_id, EVERY + 1)
    shutil.rmtree(stack.folder.runs / job_id)
    job = stack.until_state(job_id, "failed", 60)
    assert job["generation"] <= 2
    assert "gone from the run folder: create the job again" in job["error"]["message"]
    assert not stack.tree(job_id)


def test_a_generation_s_directory_that_is_deleted_costs_its_steps(stack: Stack, faultless):
    """The checkpoints in it are found damaged, one after the other; the run begins again."""
    job_id = stack.create(**TWO_RANKS)
    stack.until_step(job_id, EVERY + 5)
    shutil.rmtree(stack.run_dir(job_id))
    job = stack.until_state(job_id, "succeeded")
    assert job["generation"] <= 4
    assert stack.step(job_id, job["generation"]) == TWO_RANKS["max_steps"]
    assert all(row["damaged_at"] for row in stack.checkpoints(job_id) if "/g1/" in row["path"])


@contextmanager
def few_inodes(folder):
    """Put a file system with room for bytes but for 60 files only where the folder is."""
    kept = folder.with_name(f"{folder.name}.kept")
    folder.rename(kept)
    folder.mkdir()
    command = ["mount", "-t", "tmpfs", "-o", "size=64m,nr_inodes=60", "tmpfs", folder]
    subprocess.run(command, check=True)
    try:
        shutil.copytree(kept, folder, dirs_exist_ok=True)
        yield folder
    finally:
        subprocess.run(["umount", "--lazy", folder], check=True)


def test_no_inode_left_is_a_full_disk(stack: Stack):
    job_id = stack.create_paused(**ENDLESS)
    with few_inodes(stack.folder.runs / job_id) as folder:
        stack.ask(job_id, "resume")
        stack.until_step(job_id, EVERY + 1)
        for number in range(60):
            try:
                (folder / f"filler-{number}").touch()
            except OSError:
                break
        job = stack.until_state(job_id, "failed", 60)
        assert (job["error"]["code"], job["generation"]) == ("disk_full", 1)
        assert "ree some space" in job["error"]["message"]
        invariants.hold(stack)


def test_a_worker_with_another_run_folder_does_not_begin(stack: Stack, tmp_path):
    """A second stack on this database, or a machine on which the folder isn't mounted."""
    env = {**stack["train-a"].part.env, "ODDSMITH_RUNS": str(tmp_path / "runs")}
    stranger = Program(replace(stack["train-a"].part, name="stranger", env=env), stack.folder.logs)
    stranger.start()
    try:
        wait_for(lambda: not stranger.is_running, 60, stranger.output)
        assert "bears no mark" in stranger.output()
    finally:
        stranger.kill()
    job_id = stack.create(**SHORT)
    stack.until_state(job_id, "succeeded")
