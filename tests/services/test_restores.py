"""A backup is restored into another database and folder, completely or not at all."""

from collections.abc import Callable
from pathlib import Path

import pytest
from sqlalchemy import select

from models import ApiKey, Comparison, Deployment, Engine, File, Job, JobEvent, RunFolder
from models.deployments import DeploymentStatus
from models.jobs import JobState
from orpo.contract import manifest
from services.access import api_keys
from services.access.callers import Scope
from services.backup import backups, restores
from services.jobs import claims
from services.platform import run_folder
from services.platform.database import transaction
from services.platform.errors import Conflict, Invalid
from services.platform.settings import get_settings
from services.runs import checkpoints
from services.serving.engines import EngineStatus
from services.upkeep import health
from tests import records
from tests.migration import at_migration
from tests.services.two_stacks import (
    CALLER,
    OLD_KEY,
    ROWS,
    Old,
    Stacks,
    folder_of,
    rows,
    store,
    upload,
)
from workers.spec import spec_of

pytest_plugins = ["tests.services.with_two_stacks"]


def test_everything_comes_back(stacks: Stacks, old: Old):
    made = backups.make(stacks.backup)
    assert made.left_out == []
    assert not [name for name in made.files if "tokens" in name]
    before, stored = rows(), folder_of("storage")
    stacks.choose("new")
    restored = restores.restore(stacks.backup)
    after = rows()
    # Tables with rows that a restore releases or stops, and with records of that.
    settled = {"jobs", "job_events", "deployments", "engines", "outbox", "api_keys", "audit_log"}
    assert {name for name in before if before[name] != after[name]} == settled
    assert folder_of("storage") == stored
    assert sorted(restored.resumed) == sorted([old.running, old.cancelling, old.pausing])
    assert restored.bases_missing == {}
    for name in settled - {"api_keys"}:
        assert len(after[name]) >= len(before[name])
    with transaction() as session:
        ended = session.get_one(Job, old.ended)
        assert (ended.state, ended.fine_tuned_model) == (JobState.SUCCEEDED, "ft:tuned")
        (comparison,) = session.scalars(select(Comparison))
        assert comparison.sides == ["a\tb\n\\N"]


def test_a_rater_s_key_comes_back_with_its_evaluation(stacks: Stacks, old: Old) -> None:
    """Keys are loaded before evaluations, which refer to jobs, which refer to keys."""
    with transaction() as session:
        evaluation_id = records.evaluation(session, CALLER, JobState.SUCCEEDED).id
        key, text = api_keys.create(session, CALLER, "Ada", [Scope.VOTE], evaluation_id)
        key_id = key.id
    backups.make(stacks.backup)
    stacks.choose("new")
    restores.restore(stacks.backup)
    with transaction() as session:
        assert api_keys.authenticate(session, text).api_key_id == key_id
        assert session.get_one(ApiKey, key_id).evaluation_id == evaluation_id


def test_the_run_folder_stays_this_database_s(stacks: Stacks, old: Old):
    backups.make(stacks.backup)
    stacks.choose("new")
    with transaction() as session:
        run_folder.join(session)
    restores.restore(stacks.backup)
    with transaction() as session:
        assert session.scalar(select(RunFolder.mark))
        assert run_folder.stranger(session) is None


def test_what_ran_is_claimed_again_from_its_last_checkpoint(stacks: Stacks, old: Old):
    with transaction() as session:
        told = len(session.scalars(select(JobEvent).where(JobEvent.job_id == old.running)).all())
    backups.make(stacks.backup)
    stacks.choose("new")
    restores.restore(stacks.backup)
    with transaction() as session:
        ends = {id_: session.get_one(Job, id_).state for id_ in (old.cancelling, old.pausing)}
        assert ends == {old.cancelling: JobState.CANCELLED, old.pausing: JobState.PAUSED}
        job = session.get_one(Job, old.running)
        assert (job.state, job.generation, job.attempts) == (JobState.QUEUED, 1, 1)
        events = session.scalars(select(JobEvent).where(JobEvent.job_id == old.running)).all()
        assert len(events) == told + 1
        claimed = claims.claim_next(session, "another")
        assert claimed is not None
        assert (claimed.id, claimed.generation) == (old.running, 2)
        newest = checkpoints.latest(session, old.running)
        assert newest is not None
        assert newest.id == old.checkpoints[-1]
        assert manifest.verify(checkpoints.folder(newest)).step == 20
        spec = spec_of(session, claimed)
    assert spec.train_path.read_bytes() == ROWS
    assert spec.train_path.is_relative_to(get_settings().runs_dir)
    assert spec.tokens_path == get_settings().tokens_dir


def test_what_was_served_waits_for_an_engine(stacks: Stacks, old: Old):
    backups.make(stacks.backup)
    stacks.choose("new")
    restores.restore(stacks.backup)
    with transaction() as session:
        deployment = session.get_one(Deployment, old.deployment)
        assert (deployment.status, deployment.engine_id) == (DeploymentStatus.PENDING, None)
        assert session.get_one(Engine, old.engine).status == EngineStatus.STOPPED


def test_keys_of_both_stacks_are_good_and_no_secret_is_in_the_backup(stacks: Stacks, old: Old):
    made = backups.make(stacks.backup)
    everything = b"".join(p.read_bytes() for p in stacks.backup.rglob("*") if p.is_file())
    assert get_settings().database_url.encode() not in everything
    assert OLD_KEY.encode() not in everything
    assert not {"database_url", "redis_url"} & set(made.settings)
    assert "lease_s" in made.settings
    assert stacks.backup.stat().st_mode & 0o777 == 0o700
    stacks.choose("new")
    restores.restore(stacks.backup)
    with transaction() as session:
        hints = session.scalars(select(ApiKey.hint)).all()
    assert sorted(hint[:10] for hint in hints) == ["sk-odd-new", "sk-odd-old"]


def test_numbers_go_on_behind_those_that_came_back(stacks: Stacks, old: Old):
    backups.make(stacks.backup)
    stacks.choose("new")
    restores.restore(stacks.backup)
    with transaction() as session:
        seen = session.scalars(select(JobEvent.seq)).all()
        event = JobEvent(job_id=old.ended, generation=1, message="later")
        session.add(event)
        session.flush()
        assert event.seq > max(seen)


DAMAGES: dict[str, Callable[[Path], object]] = {
    "flipped": lambda path: path.write_bytes(
        bytes([path.read_bytes()[0] ^ 1]) + path.read_bytes()[1:]
    ),
    "cut": lambda path: path.write_bytes(path.read_bytes()[:-1]),
    "gone": lambda path: path.unlink(),
}


@pytest.mark.parametrize("damage", DAMAGES)
@pytest.mark.parametrize("kind", ["backup.json", "tables/jobs.copy", "storage", "runs"])
def test_a_damaged_backup_changes_nothing(stacks: Stacks, old: Old, kind: str, damage: str):
    backups.make(stacks.backup)
    whole = stacks.backup / kind
    path = next(p for p in sorted([whole, *whole.rglob("*")]) if p.is_file())
    DAMAGES[damage](path)
    stacks.choose("new")
    before = rows()
    with pytest.raises(Invalid, match=r"Nothing was written|is no backup"):
        restores.restore(stacks.backup)
    assert rows() == before
    assert folder_of("storage") == folder_of("runs") == []


def test_a_stack_that_holds_something_is_left_alone(stacks: Stacks, old: Old):
    backups.make(stacks.backup)
    with pytest.raises(Conflict, match="jobs, files, deployments, comparisons, run directories"):
        restores.restore(stacks.backup)
    stacks.choose("new")
    with transaction() as session:
        file = upload(session)
    with pytest.raises(Conflict, match="it has files"):
        restores.restore(stacks.backup)
    with transaction() as session:
        assert session.scalars(select(File.id)).all() == [file.id]


def test_a_database_that_was_not_upgraded_is_refused(stacks: Stacks, old: Old):
    backups.make(stacks.backup)
    stacks.choose("new")
    head = health.head()
    assert head is not None
    at_migration("0001")
    try:
        with pytest.raises(Invalid, match="run `alembic upgrade head` first"):
            restores.restore(stacks.backup)
    finally:
        at_migration(head)


def test_a_restore_that_fails_at_its_end_leaves_the_stack_empty(
    stacks: Stacks, old: Old, monkeypatch: pytest.MonkeyPatch
):
    backups.make(stacks.backup)
    with transaction() as session:
        job = session.get_one(Job, old.ended)
        outlived = session.get_one(File, job.training_file).storage_key
    stacks.choose("new")
    # As if the new stack used the old object store.
    store(outlived, (stacks.backup / "storage" / outlived).read_bytes())
    before, move_in = rows(), restores._move_in

    def fail(staged: Path) -> None:
        move_in(staged)
        raise OSError(28, "No space left on device")

    monkeypatch.setattr(restores, "_move_in", fail)
    with pytest.raises(OSError, match="No space"):
        restores.restore(stacks.backup)
    assert rows() == before
    assert folder_of("runs") == []
    assert folder_of("storage") == [outlived]
    monkeypatch.setattr(restores, "_move_in", move_in)
    assert restores.restore(stacks.backup).resumed


def test_a_base_that_is_not_here_is_named_and_one_that_lies_elsewhere_is_found(
    stacks: Stacks, old: Old, tmp_path: Path
):
    backups.make(stacks.backup)
    (tmp_path / "base").rename(tmp_path / "moved")
    stacks.choose("new")
    with transaction() as session:
        records.base_model(session, CALLER, id="acme/base", path=str(tmp_path / "moved"))
    restores.restore(stacks.backup)
    with transaction() as session:
        spec = spec_of(session, session.get_one(Job, old.running))
    assert spec.base_model_path == tmp_path / "moved"


def test_a_base_that_is_nowhere_is_named(stacks: Stacks, old: Old, tmp_path: Path):
    backups.make(stacks.backup)
    (tmp_path / "base").rename(tmp_path / "moved")
    stacks.choose("new")
    assert restores.restore(stacks.backup).bases_missing == {"acme/base": str(tmp_path / "base")}
