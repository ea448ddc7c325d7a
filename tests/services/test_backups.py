"""The content of a backup, reported omissions, and unusable backups."""

import json
import shutil
from collections.abc import Iterator
from pathlib import Path

import pytest

from models import Checkpoint, File, Job
from orpo.contract import manifest
from orpo.contract.manifest import Manifest
from services.backup import backups, restores
from services.platform import storage
from services.platform.database import transaction
from services.platform.errors import Conflict, Invalid
from services.platform.settings import get_settings
from services.runs import checkpoints
from tests.services.two_stacks import Old, Stacks

pytest_plugins = ["tests.services.with_two_stacks"]


def test_a_value_of_backup_json_can_t_be_changed(stacks: Stacks, old: Old):
    backups.make(stacks.backup)
    path = stacks.backup / "backup.json"
    sealed = json.loads(path.read_text())
    sealed["contents"]["left_out"] = [{"kind": "checkpoint", "id": old.checkpoints[0], "why": ""}]
    path.write_text(json.dumps(sealed))
    with pytest.raises(Invalid, match="does not match its own sha256"):
        backups.check(stacks.backup)


def test_a_backup_that_names_a_place_outside_is_refused(stacks: Stacks, old: Old):
    contents = backups.make(stacks.backup)
    contents.files["storage/../../outside"] = {"size": 0, "sha256": ""}
    (stacks.backup / "backup.json").write_bytes(backups._sealed(contents))
    with pytest.raises(Invalid, match="outside"):
        backups.check(stacks.backup)


def test_a_backup_that_fails_leaves_nothing(
    stacks: Stacks, old: Old, monkeypatch: pytest.MonkeyPatch
):
    def fail(_: Path) -> None:
        raise OSError(28, "No space left on device")

    monkeypatch.setattr(backups, "sync_folders", fail)
    with pytest.raises(OSError, match="No space"):
        backups.make(stacks.backup)
    assert list(stacks.backup.parent.iterdir()) == []


def test_a_backup_is_never_written_over(stacks: Stacks, old: Old):
    backups.make(stacks.backup)
    with pytest.raises(Conflict, match="Name a folder that does not"):
        backups.make(stacks.backup)
    backups.check(stacks.backup)


def test_what_is_damaged_on_the_stack_s_disk_is_left_out_and_said(stacks: Stacks, old: Old):
    with transaction() as session:
        newest = session.get_one(Checkpoint, old.checkpoints[-1])
        weights = checkpoints.folder(newest) / "adapter" / "adapter_model.safetensors"
        job = session.get_one(Job, old.ended)
        file = session.get_one(File, job.training_file)
    weights.write_bytes(b"x" * weights.stat().st_size)
    storage.delete(file.storage_key)
    made = backups.make(stacks.backup)
    assert [(lost["kind"], lost["id"]) for lost in made.left_out] == [
        ("file", file.id),
        ("checkpoint", newest.id),
    ]
    stacks.choose("new")
    restores.restore(stacks.backup)
    with transaction() as session:
        before = checkpoints.latest(session, old.running)
        assert before is not None
        assert before.id == old.checkpoints[-2]


@pytest.mark.parametrize("name", ["../../../../../secret", "link"])
def test_a_checkpoint_can_t_bring_in_what_lies_outside_of_it(
    stacks: Stacks, old: Old, tmp_path: Path, name: str
):
    secret = tmp_path / "old" / "secret"
    secret.write_text("a password")
    with transaction() as session:
        folder = checkpoints.folder(session.get_one(Checkpoint, old.checkpoints[0]))
    if name == "link":
        (folder / name).symlink_to(secret)
    found = manifest.read(folder)
    facts = {"sha256": manifest.sha256(secret), "size": 10}
    manifest.write(folder, Manifest(**{**vars(found), "files": {**found.files, name: facts}}))
    made = backups.make(stacks.backup)
    assert [lost["id"] for lost in made.left_out] == [old.checkpoints[0]]
    assert not [p for p in stacks.backup.rglob("*") if p.is_file() and b"a passw" in p.read_bytes()]


def test_a_state_that_a_training_lets_go_of_meanwhile_is_no_damage(
    stacks: Stacks, old: Old, monkeypatch: pytest.MonkeyPatch
):
    with transaction() as session:
        folder = checkpoints.folder(session.get_one(Checkpoint, old.checkpoints[1]))
    read = backups.blocks_of

    def racing(path: Path) -> Iterator[bytes]:
        # In the order of the core: first the manifest, then the files.
        if path.is_relative_to(folder) and (folder / "state").exists():
            found = manifest.read(folder)
            kept = {n: f for n, f in found.files.items() if not n.startswith("state/")}
            manifest.write(folder, Manifest(**{**vars(found), "resumable": False, "files": kept}))
            shutil.rmtree(folder / "state")
        return read(path)

    monkeypatch.setattr(backups, "blocks_of", racing)
    made = backups.make(stacks.backup)
    assert made.left_out == []
    copy = stacks.backup / "runs" / folder.relative_to(get_settings().runs_dir)
    assert manifest.verify(copy).resumable is False
    assert not (copy / "state").exists()
