"""Unneeded files on disk are found, listed and removed; all others stay."""

import os
import time
from pathlib import Path

import pytest
from sqlalchemy import func, select, update
from typer.testing import CliRunner

from cli.main import app
from models import BaseModelRecord, Comparison, RunFolder
from models.deployments import DeploymentStatus
from models.jobs import JobState, Purpose
from services.files import base_models
from services.jobs import claims
from services.platform import folders, storage
from services.platform.database import transaction
from services.platform.settings import get_settings
from services.runs import checkpoints
from services.serving import deployments, engines, weights
from services.upkeep import deletions, leftovers, pruning, removals, storage_use
from tests import records
from workers import removals as tasks

MONTH_S = 31 * 86_400


@pytest.fixture
def database_url(own_database_url: str) -> str:
    """Not the shared database: in its tables, the deleted rows of other tests take room."""
    return own_database_url


def make(path: Path, age_s: float = 0) -> Path:
    """Make a folder with a file, or a file, with this age."""
    file = path if path.suffix in (".gguf", ".lock", ".part", ".rows") else path / "file"
    file.parent.mkdir(parents=True, exist_ok=True)
    file.write_bytes(b"x" * 10_000)
    when = time.time() - age_s
    for each in {file, path}:
        os.utime(each, (when, when))
    return path


@pytest.fixture
def job(product, session, caller):
    """An ended job with a checkpoint in its folder."""
    made = records.job(session, caller, JobState.QUEUED)
    claims.claim_next(session, "w")
    saved = checkpoints.register(session, made.id, 1, records.saved(1))
    claims.fail(session, made.id, 1, {"code": "nan", "message": "It broke.", "param": None})
    session.commit()
    make(checkpoints.folder(saved), MONTH_S)
    return made


@pytest.fixture
def saved(session, job):
    return checkpoints.latest(session, job.id)


def found() -> set[Path]:
    return {each.path for each in leftovers.listed()}


def test_what_no_row_names_goes_after_a_day(job, saved, tmp_path):
    runs, merged = get_settings().runs_dir, get_settings().var / "merged"
    unknown = "0" * 24
    old = [
        runs / f"ftjob-{unknown}",
        runs / job.id / "g1" / "checkpoints" / "step-000009",
        runs / job.id / "g1" / "checkpoints" / "step-000010.tmp",
        merged / f"ftckpt-{unknown}",
        merged / f"ftckpt-{unknown}.gguf",
        merged / f"ftckpt-{unknown}.lock",
        merged / f"{saved.id}.tmp",
        tmp_path / "storage" / "files" / f"upload-{unknown}.rows",
        tmp_path / "storage" / "files" / f"upload-{unknown}.abcd.part",
    ]
    for path in old:
        make(path, 2 * 86_400)
    young = make(runs / f"ftjob-{'1' * 24}")
    theirs = make(runs / "notes", MONTH_S)
    assert found() == set(old)
    leftovers.remove(leftovers.listed())
    assert not [path for path in old if path.exists()]
    assert found() == set()
    assert young.exists()
    assert theirs.exists()
    assert checkpoints.folder(saved).exists()


def test_files_that_are_being_written_stay(product, tmp_path):
    """An upload that has no row yet, and the rows of a file that is being validated."""
    files, number = tmp_path / "storage" / "files", "1" * 24
    young = [
        make(files / f"upload-{number}.abcd.part"),
        make(files / f"file-{number}.rows.abcd.part.xyz" / "made.rows"),
    ]
    assert found() == set()
    gone = files / "gone.rows"
    assert folders.changed_at(gone) is None
    assert [path for path in young if not path.exists()] == []


def test_a_running_job_s_folder_is_left_alone(product, session, caller):
    made = records.job(session, caller, JobState.QUEUED)
    session.commit()
    make(get_settings().runs_dir / made.id / "g1" / "checkpoints" / "step-000001", MONTH_S)
    assert found() == set()


def test_an_estimate_leaves_nothing(product, session, caller):
    made = records.job(session, caller, JobState.QUEUED, purpose=Purpose.ESTIMATE)
    claims.claim_next(session, "w")
    claims.fail(session, made.id, 1, {"code": "nan", "message": "It broke.", "param": None})
    session.commit()
    run = make(get_settings().runs_dir / made.id, 2 * 86_400)
    assert found() == {run}


def test_merged_weights_go_when_nobody_asks_and_stay_while_served(job, saved, session, caller):
    whole, gguf, _ = (make(path, MONTH_S) for path in weights.made_of(saved.id))
    assert found() == {whole, gguf}
    weights.gguf(saved)  # a request counts as use
    assert found() == {whole}
    deployments.create(session, caller, saved.model)
    session.commit()
    assert found() == set()


def test_what_an_engine_still_has_loaded_waits_until_it_is_unloaded(job, saved, session, caller):
    deployment = deployments.create(session, caller, saved.model)
    deployments.stop(session, caller, deployment.id)
    deployment.status = DeploymentStatus.READY  # undeployed, but still loaded in its engine
    deletions.delete_checkpoint(session, caller, saved.model)
    session.commit()
    assert removals.remove_all() == 1
    assert checkpoints.folder(saved).exists()
    engines.mark_stopped(session, deployment.id)
    session.commit()
    assert removals.remove_all() == 0
    assert not checkpoints.folder(saved).exists()


def test_a_download_goes_a_day_after_its_base_model_was_deleted(product, session, caller):
    folder = get_settings().var / "models"
    kept, deleted, cut_short, own, young = (
        make(folder / name, age_s)
        for name, age_s in (
            ("acme--kept@0123456789ab", MONTH_S), ("acme--gone@0123456789ab", MONTH_S),
            ("acme--cut-short@0123456789ab.removed", MONTH_S), ("mine", MONTH_S),
            ("acme--new@0123456789ab", 0),
        )
    )  # fmt: skip
    for path in (kept, deleted):
        records.base_model(session, caller).path = str(path)
        session.flush()
    session.commit()
    assert found() == {cut_short}
    base = session.scalars(select(BaseModelRecord).filter_by(path=str(deleted))).one()
    base_models.delete(session, caller, base.id)
    session.commit()
    assert found() == {deleted, cut_short}
    leftovers.remove(leftovers.listed())
    assert [path.exists() for path in (kept, own, young)] == [True] * 3
    assert not deleted.exists()


def test_tokens_go_when_no_run_has_begun_with_them(product, settings_from):
    settings_from(keep_prepared_days=2)
    entry = make(get_settings().tokens_dir / "tokens-0123456789abcdef", 3 * 86_400)
    make(get_settings().tokens_dir / "tokens-1123456789abcdef", 86_400)
    assert found() == {entry}


def test_what_is_being_read_is_not_removed(tmp_path):
    folder = make(tmp_path / "model")
    make(folder / "adapter")
    with folders.held(folder / "adapter"):
        assert not folders.remove(folder)
        assert (folder / "adapter" / "file").exists()
    assert folders.remove(folder)
    assert folders.remove(folder)
    assert list(tmp_path.iterdir()) == []
    with pytest.raises(FileNotFoundError), folders.held(folder):
        pass


def test_a_run_folder_of_another_database_is_left_alone(job, session):
    (get_settings().runs_dir / ".mark").write_text("another")
    session.add(RunFolder(id=1, mark="ours"))
    job.deleted_at = job.finished_at
    session.commit()
    make(get_settings().runs_dir / f"ftjob-{'0' * 24}", MONTH_S)
    assert found() == set()
    removals.remove_all()
    assert (get_settings().runs_dir / job.id).exists()


def test_prune_lists_first_and_removes_then(job, saved, session, caller, monkeypatch):
    unknown = make(get_settings().runs_dir / f"ftjob-{'0' * 24}", MONTH_S)
    session.add(Comparison(id="cmp-1", org_id=caller.org_id, sides=[], held_out=None))
    session.flush()
    session.execute(update(Comparison).values(created_at="2020-01-01"))
    checkpoints.mark_deleted(session, checkpoints.Checkpoint.id == saved.id)
    session.commit()
    folder = checkpoints.folder(saved)
    listed = pruning.plan()
    assert {(each.kind, each.path) for each in listed} == {
        ("checkpoint", str(folder)),
        ("run", str(unknown)),
        ("comparison", ""),
    }
    assert all(each.size_bytes >= 10_000 for each in listed if each.path)
    assert folder.exists()
    monkeypatch.setattr("cli.stack.attach.attached", transaction)
    shown = CliRunner().invoke(app, ["prune", "--dry-run"])
    assert shown.exit_code == 0, shown.output
    assert "Nothing was removed" in shown.output
    assert folder.exists()
    assert CliRunner().invoke(app, ["prune"]).exit_code == 0
    assert not folder.exists()
    assert not unknown.exists()
    assert pruning.plan() == []


def test_disk_use_is_measured_by_kind(job, saved, product):
    with storage.writing("files/a") as sink:
        sink.write(b"x" * 50_000)
    make(get_settings().runs_dir / job.id / "data")
    make(get_settings().tokens_dir / "tokens-0123456789abcdef")
    make(weights.made_of(saved.id)[1])
    with transaction() as session:
        assert storage_use.last(session)[0] is None
    tasks.tidy()
    with transaction() as session:
        measured_at, use = storage_use.last(session)
    assert measured_at is not None
    assert use["files"] >= 50_000
    for kind in ("prepared_data", "checkpoints", "tokens", "gguf", "comparisons"):
        assert 8_192 <= use[kind] < 50_000, kind
    assert use["merged"] == use["run_logs"] == 0
    assert use["database"] > 1_000_000
    assert use["free"] > 0


def test_what_can_be_removed_is_measured(session, caller, product):
    records.file(session, caller, size_bytes=3_000)
    deleted = records.file(session, caller, size_bytes=5_000, storage_key="gone", sha256="1")
    session.commit()
    assert storage_use.measure()["deletable"] == 0
    deleted.deleted_at = func.clock_timestamp()
    session.commit()
    assert storage_use.measure()["deletable"] == 5_000
