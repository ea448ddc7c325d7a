"""Deleted data is gone: rows of files in prepared data, jobs, checkpoints, comparisons."""

import json
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
from fastapi.testclient import TestClient
from sqlalchemy import func, select

from models import Base, Checkpoint, Comparison, File, Job
from models.jobs import JobState
from services.access.callers import Caller
from services.files import seed
from services.jobs import claims
from services.platform import storage
from services.platform.database import transaction
from services.platform.settings import get_settings
from services.runs import checkpoints, metrics, results
from services.serving import deployments
from tests import records

CALLER = Caller(seed.ORG_ID, None, records.SCOPES)
SECRET = b"a sentence of no other file"
ENTRY = "tokens-0123456789abcdef"


def holding(folder: Path) -> list[Path]:
    """The files in a folder that contain the secret."""
    return [p for p in folder.rglob("*") if p.is_file() and SECRET in p.read_bytes()]


def of_job(job_id: str) -> Path:
    return get_settings().runs_dir / job_id


def write(path: Path, content: bytes = SECRET) -> None:
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_bytes(content)


def prepared_job(session: Any, file: File) -> Job:
    """A queued job with the rows of its file in its data folder, and their tokens in the cache."""
    job = records.job(session, CALLER, JobState.QUEUED, training_file=file.id)
    for name in ("train.jsonl", "held_out.jsonl", "rendered.json"):
        write(of_job(job.id) / "data" / name)
    write(of_job(job.id) / "data" / "tokens.txt", f"{ENTRY}\n".encode())
    write(get_settings().tokens_dir / ENTRY / "train" / "ids.bin")
    return job


def save(session: Any, job: Job, step: int, loss: float = 1.0) -> Checkpoint:
    data = records.saved(step)
    data["metrics"]["held_out"]["loss"] = loss
    checkpoint = checkpoints.register(session, job.id, job.generation, data)
    write(checkpoints.folder(checkpoint) / "adapter" / "adapter_model.safetensors")
    return checkpoint


@pytest.fixture
def file_id(product: None) -> str:
    key = "files/upload-0123456789abcdef01234567"
    with transaction() as session:
        for part in (key, f"{key}.rows"):
            with storage.writing(part) as sink:
                sink.write(SECRET)
        return records.file(session, CALLER, storage_key=key, rows_key=f"{key}.rows").id


@pytest.fixture
def job_id(file_id: str) -> str:
    """A job that has succeeded, with a result, two checkpoints and all kinds of rows."""
    with transaction() as session:
        file = session.get_one(File, file_id)
        job = prepared_job(session, file)
        claims.claim_next(session, "w")
        session.refresh(job)
        claims.start(session, job.id, 1)
        numbers = {"step": 1, "t": 1.0, "split": "train", "values": {"loss": 1.0}}
        metrics.write(session, job.id, 1, [numbers])
        for step in (1, 2):
            checkpoint = save(session, job, step)
            write(get_settings().var / "merged" / f"{checkpoint.id}.gguf")
            write(get_settings().var / "merged" / checkpoint.id / "model.safetensors")
        claims.finalize(session, job.id, 1)
        results.register(session, job.id, 1)
        return job.id


def tuned(job_id: str) -> str:
    with transaction() as session:
        return session.get_one(Job, job_id).fine_tuned_model or ""


def test_a_deleted_file_is_gone_from_the_data_of_its_jobs(
    client: TestClient, work: Callable[[], None], file_id: str, tmp_path: Path
):
    with transaction() as session:
        job_id = prepared_job(session, session.get_one(File, file_id)).id
    refused = client.delete(f"/v1/files/{file_id}")
    assert refused.status_code == 409
    assert job_id in refused.json()["error"]["message"]
    client.post(f"/v1/fine_tuning/jobs/{job_id}/cancel").raise_for_status()
    client.delete(f"/v1/files/{file_id}").raise_for_status()
    work()
    assert holding(tmp_path) == []
    assert client.get(f"/v1/fine_tuning/jobs/{job_id}/pairs").status_code == 200


def test_tokens_that_another_job_uses_stay(
    client: TestClient, work: Callable[[], None], file_id: str, tmp_path: Path
):
    """The other job's file has the same rows and still exists."""
    with transaction() as session:
        ended = prepared_job(session, session.get_one(File, file_id)).id
        prepared_job(session, records.file(session, CALLER))
    client.post(f"/v1/fine_tuning/jobs/{ended}/cancel").raise_for_status()
    client.delete(f"/v1/files/{file_id}").raise_for_status()
    work()
    assert holding(of_job(ended)) == []
    assert len(holding(get_settings().tokens_dir)) == 1


def test_a_job_goes_with_all_that_it_left(
    client: TestClient, work: Callable[[], None], job_id: str, tmp_path: Path
):
    path = f"/v1/fine_tuning/jobs/{job_id}"
    (result,) = client.get(path).json()["result_files"]
    name = tuned(job_id)
    client.delete(path).raise_for_status()
    assert client.get(path).status_code == 404
    assert client.get(f"/v1/models/{name}").status_code == 404
    assert client.get(f"/v1/files/{result}").status_code == 404
    assert client.get("/v1/fine_tuning/jobs").json()["data"] == []
    work()
    assert not of_job(job_id).exists()
    # The uploaded file is separate and stays.
    assert {path.parent.name for path in holding(tmp_path)} == {"files"}
    assert not list((tmp_path / "storage" / "results").iterdir())
    with transaction() as session:
        for table in Base.metadata.sorted_tables:
            column = table.columns.get("job_id", table.columns.id if table.name == "jobs" else None)
            if column is not None:
                found = session.scalar(select(func.count()).where(column == job_id))
                assert found == 0, table.name


def test_a_job_that_has_not_ended_is_not_deleted(client: TestClient, file_id: str):
    with transaction() as session:
        job_id = prepared_job(session, session.get_one(File, file_id)).id
    refused = client.delete(f"/v1/fine_tuning/jobs/{job_id}")
    assert refused.status_code == 409
    assert "Cancel it" in refused.json()["error"]["message"]
    assert holding(of_job(job_id))


def test_what_is_deployed_is_not_deleted(client: TestClient, work: Callable[[], None], job_id: str):
    name = tuned(job_id)
    with transaction() as session:
        deployed = deployments.create(session, CALLER, name).id
    for path in (f"/v1/fine_tuning/jobs/{job_id}", f"/v1/models/{name}"):
        refused = client.delete(path)
        assert refused.status_code == 409
        assert deployed in refused.json()["error"]["message"]
    client.delete(f"/v1/deployments/{deployed}").raise_for_status()
    client.delete(f"/v1/models/{name}").raise_for_status()
    work()
    with transaction() as session:
        assert session.scalar(select(func.count()).select_from(Checkpoint)) == 1


def test_a_deleted_checkpoint_s_name_never_means_another(
    client: TestClient, work: Callable[[], None], job_id: str, tmp_path: Path
):
    name = tuned(job_id)
    with transaction() as session:
        (last, first) = checkpoints.list_of_job(session, job_id, after=None, limit=2)
    client.delete(f"/v1/models/{name}").raise_for_status()
    for gone in (name, last.model):
        assert client.get(f"/v1/models/{gone}").status_code == 404
        assert client.post("/v1/deployments", json={"model": gone}).status_code == 404
    assert client.get(f"/v1/models/{first.model}").status_code == 200
    assert client.get(f"/v1/fine_tuning/jobs/{job_id}").json()["fine_tuned_model"] is None
    work()
    merged = {path.name.partition(".")[0] for path in (tmp_path / "merged").iterdir()}
    assert merged == {first.id}
    assert not checkpoints.folder(last).exists()
    assert checkpoints.folder(first).exists()


def test_a_base_that_lies_in_a_run_keeps_it(client: TestClient, job_id: str):
    with transaction() as session:
        path = str(of_job(job_id) / "g1" / "checkpoints" / "step-2" / "model")
        base = records.base_model(session, CALLER, path=path).id
    for path in (f"/v1/fine_tuning/jobs/{job_id}", f"/v1/models/{tuned(job_id)}"):
        refused = client.delete(path)
        assert refused.status_code == 409
        assert base in refused.json()["error"]["message"]


def test_a_comparison_is_deleted(client: TestClient):
    with transaction() as session:
        made = Comparison(id="cmp-1", org_id=CALLER.org_id, sides=[], held_out=None)
        session.add(made)
    client.delete("/v1/comparisons/cmp-1").raise_for_status()
    assert client.get("/v1/comparisons/cmp-1").status_code == 404
    assert client.delete("/v1/comparisons/cmp-1").status_code == 404


def test_checkpoints_beyond_the_last_three_and_the_best_go(
    client: TestClient, work: Callable[[], None], file_id: str
):
    """Once, `checkpoint_every=1` kept all checkpoints: 1.3 GB in 8 steps."""
    with transaction() as session:
        job = prepared_job(session, session.get_one(File, file_id))
        claims.claim_next(session, "w")
        session.refresh(job)
        saved = [save(session, job, step, loss=0.1 if step == 3 else step) for step in range(1, 9)]
    work()
    found = client.get(f"/v1/fine_tuning/jobs/{job.id}/checkpoints").json()["data"]
    assert [checkpoint["step_number"] for checkpoint in found] == [8, 7, 6, 3]
    kept = {checkpoint.step for checkpoint in saved if checkpoints.folder(checkpoint).exists()}
    assert kept == {3, 6, 7, 8}


def test_an_organisation_s_files_have_a_quota(
    client: TestClient, settings_from: Callable[..., None]
):
    settings_from(org_quota_bytes=100)

    def upload(question: str) -> Any:
        content = json.dumps({"prompt": question, "chosen": "b", "rejected": "c"})
        files = {"file": ("a.jsonl", content)}
        return client.post("/v1/files", files=files, data={"purpose": "fine-tune"})

    first = upload("1").json()["id"]
    upload("2").raise_for_status()
    upload("2").raise_for_status()  # equal files are stored once
    refused = upload("3")
    assert refused.status_code == 413
    assert refused.json()["error"]["code"] == "quota_exceeded"
    client.delete(f"/v1/files/{first}").raise_for_status()
    upload("3").raise_for_status()
