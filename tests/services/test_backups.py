"""A stack's data goes into a backup and comes back into another database and folder."""

import hashlib
import json
import shutil
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pytest
from sqlalchemy import delete, select, text

from cli.stack.postgres import Postgres
from models import (
    ApiKey,
    Base,
    BaseModelRecord,
    Checkpoint,
    Comparison,
    Deployment,
    Engine,
    File,
    Job,
    JobEvent,
    OutboxMessage,
    RunFolder,
)
from models.base import new_id
from models.deployments import DeploymentStatus
from models.jobs import DesiredState, JobState
from orpo import manifest
from orpo.manifest import Manifest
from services import (
    backups,
    checkpoints,
    claims,
    database,
    metrics,
    restores,
    run_folder,
    seed,
    storage,
)
from services.callers import Caller
from services.database import transaction
from services.engines import EngineStatus
from services.errors import Conflict, Invalid
from services.settings import get_settings
from tests import records
from tests.conftest import administer, create_database, forget_connections
from workers.spec import spec_of

CALLER = Caller(seed.ORG_ID, None, records.SCOPES)
OLD_KEY = "sk-odd-old-0123456789-0123456789"
ROWS = b'{"line": 1}\n'


@dataclass
class Stacks:
    """Two databases with a folder each; the product uses the one that was chosen last."""

    choose: Callable[[str], None]
    backup: Path


@pytest.fixture
def stacks(
    postgres: Postgres,
    migrated_template: str,
    settings_from: Callable[..., None],
    tmp_path: Path,
) -> Iterator[Stacks]:
    names = {side: f"backup_{side}" for side in ("old", "new")}
    for name in names.values():
        create_database(postgres, name, template=migrated_template)

    def choose(side: str) -> None:
        url = postgres.sqlalchemy_url(names[side])
        settings_from(database_url=url, var=tmp_path / side, storage_url="", redis_url="")
        forget_connections()
        (tmp_path / side / "runs").mkdir(parents=True, exist_ok=True)

    choose("old")
    with transaction() as session:
        seed.organization(session)
        seed.first_key(session, OLD_KEY)
    choose("new")
    with transaction() as session:
        seed.organization(session)
        seed.first_key(session, "sk-odd-new-0123456789-0123456789")
    choose("old")
    yield Stacks(choose, tmp_path / "backups" / "monday")
    database.engine().dispose()
    forget_connections()
    for name in names.values():
        administer(postgres, f"DROP DATABASE {name} WITH (FORCE)")


def store(key: str, content: bytes) -> str:
    with storage.writing(key) as sink:
        sink.write(content)
    return hashlib.sha256(content).hexdigest()


def upload(session: Any) -> File:
    key = f"files/{new_id('upload')}"
    content = b'{"prompt": 1}\n'
    sha256 = store(key, content)
    store(f"{key}.rows", ROWS)
    return records.file(
        session, CALLER, storage_key=key, rows_key=f"{key}.rows", sha256=sha256,
        size_bytes=len(content),
    )  # fmt: skip


def save(session: Any, job: Job, step: int) -> Checkpoint:
    """A checkpoint as the core commits it, and its row."""
    run_dir = get_settings().runs_dir / job.id / f"g{job.generation}"
    final = run_dir / "checkpoints" / f"step-{step:06d}"
    partial = final.with_suffix(".tmp")
    (partial / "adapter").mkdir(parents=True)
    (partial / "state").mkdir()
    (partial / "adapter" / "adapter_model.safetensors").write_bytes(b"w" * step)
    (partial / "state" / "training.safetensors").write_bytes(b"s" * step)
    files = manifest.inventory(partial)
    weights = manifest.weights_digest(files, "adapter")
    written = Manifest(step, job.generation, "fingerprint", weights, True, files)
    manifest.commit(partial, written, final)
    data = {
        "step": step, "path": f"checkpoints/{final.name}", "sha256": weights,
        "size_bytes": written.size_bytes, "metrics": {},
    }  # fmt: skip
    return checkpoints.register(session, job.id, job.generation, data)


def job_at_work(session: Any, base: str, **fields: Any) -> Job:
    """A job that a worker holds, with its prepared data on disk."""
    file = upload(session)
    job = records.job(
        session, CALLER, JobState.QUEUED, base_model=base, training_file=file.id, **fields
    )
    claims.claim_next(session, "w")
    session.refresh(job)
    data = get_settings().runs_dir / job.id / "data"
    data.mkdir(parents=True)
    (data / "train.jsonl").write_bytes(ROWS)
    (data / "tokens-abc").mkdir()
    (data / "tokens-abc" / "tokens.bin").write_bytes(b"made anew")
    get_settings().tokens_dir.mkdir(exist_ok=True)
    (get_settings().tokens_dir / "tokens.bin").write_bytes(b"made anew")
    run_dir = get_settings().runs_dir / job.id / "g1"
    run_dir.mkdir()
    (run_dir / "train.log").write_text("step 1\n")
    return job


@dataclass
class Old:
    """Ids of what the old stack holds."""

    running: str
    cancelling: str
    pausing: str
    ended: str
    checkpoints: list[str]
    deployment: str
    engine: str


@pytest.fixture
def old(stacks: Stacks, tmp_path: Path) -> Old:
    folder = tmp_path / "base"
    folder.mkdir()
    with transaction() as session:
        base = records.base_model(session, CALLER, id="acme/base", path=str(folder)).id
        ended = job_at_work(session, base)
        claims.start(session, ended.id, 1)
        saved = save(session, ended, 5)
        claims.finalize(session, ended.id, 1)
        claims.succeed(session, ended.id, 1, model="ft:tuned", result_files=[])
        running = job_at_work(session, base)
        claims.start(session, running.id, 1)
        claims.heartbeat(session, running.id, 1, {"step": 20, "steps": 90})
        line = {"split": "train", "step": 20, "t": 0, "values": {"loss": 0.5}}
        metrics.write(session, running.id, 1, [line])
        kept = [save(session, running, step).id for step in (10, 20)]
        running.attempts = 1
        cancelling = job_at_work(session, base, desired_state=DesiredState.RUN)
        cancelling.desired_state = DesiredState.CANCEL
        pausing = job_at_work(session, base)
        pausing.desired_state = DesiredState.PAUSE
        # What `records.job` made although it was given others.
        session.execute(delete(File).where(File.storage_key == "x"))
        session.execute(delete(BaseModelRecord).where(BaseModelRecord.path == "/nowhere"))
        engine = Engine(
            id=new_id("engine"), weights="/w", served_name="b", status=EngineStatus.READY,
            worker="w", host="h", port=1, device="cpu",
        )  # fmt: skip
        session.add(engine)
        session.flush()
        deployment = Deployment(
            id=new_id("deploy"), org_id=seed.ORG_ID, model="ft:tuned", base_model=base,
            checkpoint_id=saved.id, status=DeploymentStatus.READY, engine_id=engine.id,
        )  # fmt: skip
        session.add(deployment)
        session.add(Comparison(id=new_id("cmp"), org_id=seed.ORG_ID, sides=["a\tb\n\\N"]))
        session.add(OutboxMessage(task="files.validate", arguments={}))
        return Old(
            running.id, cancelling.id, pausing.id, ended.id, [saved.id, *kept], deployment.id,
            engine.id,
        )  # fmt: skip


def rows() -> dict[str, list[Any]]:
    """Every row of every table, ordered."""
    with transaction() as session:
        return {
            table.name: sorted(map(repr, session.execute(select(table))))
            for table in Base.metadata.sorted_tables
        }


def folder_of(name: str) -> list[str]:
    root = get_settings().var / name
    return sorted(str(path.relative_to(root)) for path in root.rglob("*") if path.is_file())


def test_everything_comes_back(stacks: Stacks, old: Old):
    made = backups.make(stacks.backup)
    assert made.left_out == []
    assert not [name for name in made.files if "tokens" in name]
    before, stored = rows(), folder_of("storage")
    stacks.choose("new")
    restored = restores.restore(stacks.backup)
    after = rows()
    # What is let go of, and what tells of it.
    settled = {"jobs", "job_events", "deployments", "engines", "outbox", "api_keys"}
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


def test_another_migration_is_refused(stacks: Stacks, old: Old):
    backups.make(stacks.backup)
    stacks.choose("new")
    with transaction() as session:
        session.execute(text("UPDATE alembic_version SET version_num = '0001'"))
    with pytest.raises(Invalid, match="with the version of Oddsmith that made it"):
        restores.restore(stacks.backup)


def test_a_restore_that_fails_at_its_end_leaves_the_stack_empty(
    stacks: Stacks, old: Old, monkeypatch: pytest.MonkeyPatch
):
    backups.make(stacks.backup)
    with transaction() as session:
        job = session.get_one(Job, old.ended)
        outlived = session.get_one(File, job.training_file).storage_key
    stacks.choose("new")
    # As in an object store that is still the old one.
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
    with pytest.raises(Conflict, match="name a folder that is not"):
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
        # As the core does it: first the manifest, then the files.
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
