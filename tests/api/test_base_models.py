"""`/v1/models`: registering, listing, downloading. The core's check process is replaced here."""

import errno
import io
import tarfile
from collections.abc import Callable
from pathlib import Path
from typing import Any

import openai
import pytest
from fastapi.testclient import TestClient
from sqlalchemy import select

from models import BaseModelRecord, Checkpoint, Deployment, Job
from models.base import new_id
from models.deployments import DeploymentStatus
from models.jobs import JobState
from services.files import base_models, hub, seed
from services.platform.database import transaction
from services.platform.errors import Conflict, DiskFull, Unavailable
from services.processes import verbs
from services.serving import weights
from tests import records
from tests.api.conftest import FACTS


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    path = tmp_path / "Tiny-Base"
    path.mkdir()
    return path


def error_of(response: Any, status: int) -> dict[str, Any]:
    assert response.status_code == status, response.text
    return response.json()["error"]


def test_the_life_of_a_base_with_the_openai_client(
    client: TestClient, openai_client: openai.OpenAI, checked: list[str], folder: Path
) -> None:
    made = client.post("/v1/models", json={"id": "acme/tiny", "path": str(folder)}).json()
    assert (made["id"], made["status"], made["deployed"]) == ("acme/tiny", "ready", False)
    assert made["info"] == FACTS
    assert checked == [str(folder)]
    assert [model.id for model in openai_client.models.list()] == ["acme/tiny"]
    found = openai_client.models.retrieve("acme/tiny")  # sent as acme%2Ftiny
    assert (found.object, found.owned_by) == ("model", seed.ORG_ID)
    # Registering the same again is no error; another folder under the same name is.
    again = client.post("/v1/models", json={"id": "acme/tiny", "path": str(folder)})
    assert again.json()["created"] == made["created"]
    other = client.post("/v1/models", json={"id": "acme/tiny", "path": str(folder.parent)})
    assert error_of(other, 409)["param"] == "id"
    assert openai_client.models.delete("acme/tiny").deleted
    assert error_of(client.get("/v1/models/acme/tiny"), 404)["param"] == "model"
    revived = client.post("/v1/models", json={"id": "acme/tiny", "path": str(folder.parent)})
    assert revived.status_code == 200


def test_a_folder_with_another_model_is_not_the_registered_one(
    client: TestClient, folder: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def facts(content: str, written_at: int) -> None:
        file = {"sha256": content, "stamp": [1, written_at, written_at, 7]}
        found = {
            "ok": True,
            "sha256": content,
            "default_template": "{{ messages }}",
            "files": {"model.safetensors": file},
        }
        monkeypatch.setattr(base_models, "run_verb", lambda *_, **__: found)

    def stamp() -> int:
        with transaction() as session:
            return session.get_one(BaseModelRecord, "tiny").info["files"]["model.safetensors"][
                "stamp"
            ][1]

    body = {"id": "tiny", "path": str(folder)}
    facts("a" * 64, written_at=1)
    assert client.post("/v1/models", json=body).json()["info"] == {"sha256": "a" * 64}
    facts("a" * 64, written_at=2)
    assert client.post("/v1/models", json=body).status_code == 200
    assert stamp() == 2
    facts("b" * 64, written_at=3)
    error = error_of(client.post("/v1/models", json=body), 409)
    assert (error["code"], error["param"], stamp()) == ("base_changed", "path", 2)
    client.delete("/v1/models/tiny").raise_for_status()
    assert client.post("/v1/models", json=body).json()["info"] == {"sha256": "b" * 64}


def test_a_model_that_is_deleted_is_no_longer_fetched(
    client: TestClient, work: Callable[[], None], monkeypatch: pytest.MonkeyPatch
) -> None:
    ended = []

    def endless(hub_id: str, commit: str, path: Path, meanwhile: Callable[[], None]) -> None:
        meanwhile()
        client.delete("/v1/models/acme%2Ftiny").raise_for_status()
        try:
            meanwhile()
        except Conflict:
            ended.append(hub_id)
            raise

    monkeypatch.setattr(hub, "resolve", lambda hub_id, revision: "c0ffee00" * 5)
    monkeypatch.setattr(hub, "download", endless)
    client.post("/v1/models", json={"id": "acme/tiny"}).raise_for_status()
    work()
    assert ended == ["acme/tiny"]


def test_a_folder_names_its_model(client: TestClient, checked: list[str], folder: Path) -> None:
    assert client.post("/v1/models", json={"path": str(folder)}).json()["id"] == "Tiny-Base"


def test_what_is_missing_is_said(
    client: TestClient, folder: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    cases = [
        ({}, "id"),
        ({"path": "relative/folder", "id": "a"}, "path"),
        ({"path": "/no/such/folder", "id": "a"}, "path"),
        ({"path": str(folder), "id": "ft:a:b"}, "id"),
        ({"path": str(folder), "id": "a/download"}, "id"),
        ({"path": str(folder), "weights": "x"}, "weights"),
    ]
    for body, param in cases:
        assert error_of(client.post("/v1/models", json=body), 400)["param"] == param, body

    def run_verb(*_: Any, **__: Any) -> dict[str, Any]:
        problem = {"what": "There are no weights.", "hint": "Copy model.safetensors."}
        return {"ok": False, "problems": [problem]}

    monkeypatch.setattr(base_models, "run_verb", run_verb)
    error = error_of(client.post("/v1/models", json={"path": str(folder)}), 400)
    assert "There are no weights. Copy model.safetensors." in error["message"]
    assert error["param"] == "path"


def test_a_base_in_use_is_not_deleted(client: TestClient) -> None:
    with transaction() as session:
        owner = seed.organization(session)
        job = records.job(session, owner, JobState.QUEUED)
        served = records.base_model(session, owner).id
        session.add(deployment(owner.org_id, served, served))
        base, job_id = job.base_model, job.id
    assert job_id in error_of(client.delete(f"/v1/models/{base}"), 409)["message"]
    assert served in error_of(client.delete(f"/v1/models/{served}"), 409)["message"]
    models = {model["id"]: model["deployed"] for model in client.get("/v1/models").json()["data"]}
    assert models == {base: False, served: True}


def deployment(org_id: str, model: str, base: str) -> Deployment:
    return Deployment(
        id=new_id("dep"),
        org_id=org_id,
        model=model,
        base_model=base,
        status=DeploymentStatus.READY,
    )


def test_from_a_hub(
    client: TestClient,
    work: Callable[[], None],
    checked: list[str],
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setattr(hub, "resolve", lambda hub_id, revision: "c0ffee00" * 5)
    body = {"id": "acme/tiny", "revision": "main"}
    made = client.post("/v1/models", json=body).json()
    assert (made["status"], made["revision"]) == ("downloading", "c0ffee00" * 5)
    monkeypatch.setattr(hub, "download", lambda hub_id, commit, path, _: path.mkdir(parents=True))
    work()
    found = client.get("/v1/models/acme%2Ftiny").json()
    assert (found["status"], found["info"]) == ("ready", {"hub_id": "acme/tiny", **FACTS})

    def cut_off(*_: Any) -> None:
        raise Unavailable("The model hub can't be reached.")

    monkeypatch.setattr(hub, "download", cut_off)
    client.post("/v1/models", json={"id": "other", "hub_id": "acme/other"}).raise_for_status()
    work()
    failed = client.get("/v1/models/other").json()
    assert (failed["status"], failed["error"]) == ("error", "The model hub can't be reached.")
    # A second request starts a new attempt.
    again = client.post("/v1/models", json={"id": "other", "hub_id": "acme/other"}).json()
    assert (again["status"], again["error"]) == ("downloading", None)


def test_without_a_hub_the_answer_says_what_to_do(
    client: TestClient, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("HF_ENDPOINT", "http://127.0.0.1:9")
    error = error_of(client.post("/v1/models", json={"id": "acme/tiny"}), 503)
    assert error["code"] == "hub_unreachable"
    assert "register it with `path`" in error["message"]


def test_a_disk_that_is_full_is_not_the_hub_s_silence(monkeypatch: pytest.MonkeyPatch) -> None:
    def full(*_: Any, **__: Any) -> None:
        raise OSError(errno.ENOSPC, "No space left on device")

    monkeypatch.setattr(hub.HfApi, "model_info", full)
    with pytest.raises(DiskFull, match="register the model again"):
        hub.fetch("acme/tiny", "0" * 40, Path("/nowhere"))


@pytest.fixture
def tuned(product: None, tmp_path: Path) -> str:
    """A succeeded job's model whose checkpoint lies on disk."""
    with transaction() as session:
        owner = seed.organization(session)
        job = records.job(session, owner, JobState.QUEUED)
        path = f"{job.id}/g1/checkpoints/step-000088"
        name = f"ft:{job.base_model}:default::{job.id[-8:]}"
        checkpoint = {"step": 88, "path": path, "sha256": "0", "size_bytes": 1, "metrics": {}}
        session.add(
            Checkpoint(
                id=new_id("ftckpt"),
                job_id=job.id,
                generation=1,
                kind="adapter",
                model=f"{name}:ckpt-step-88",
                **checkpoint,
            )
        )
        for state in (JobState.CLAIMED, JobState.RUNNING, JobState.FINALIZING):
            job.state, job.generation = state, 1
            session.flush()
        job.state, job.fine_tuned_model = JobState.SUCCEEDED, name
    adapter = tmp_path / "runs" / path / "adapter"
    adapter.mkdir(parents=True)
    (adapter / "adapter_config.json").write_text("{}")
    (adapter / "adapter_model.safetensors").write_bytes(b"w" * 700)
    return name


def test_a_tuned_model_is_listed_and_downloaded(
    client: TestClient, openai_client: openai.OpenAI, tuned: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    listed = [model for model in openai_client.models.list() if model.id == tuned]
    assert listed[0].to_dict()["kind"] == "tuned"
    step = client.get(f"/v1/models/{tuned}:ckpt-step-88").json()
    assert (step["kind"], step["parent"]) == ("checkpoint", tuned.split(":")[1])
    response = client.get(f"/v1/models/{tuned}/download")
    assert int(response.headers["content-length"]) == len(response.content)
    with tarfile.open(fileobj=io.BytesIO(response.content)) as tar:
        names = {Path(member.name).name: member.size for member in tar}
    assert names == {"adapter_config.json": 2, "adapter_model.safetensors": 700}

    merges = []

    def merge(_: str, source: str, out: str) -> dict[str, Any]:
        merges.append(source)
        Path(out).mkdir()
        (Path(out) / "model.safetensors").write_bytes(b"m")
        return {}

    monkeypatch.setattr(weights, "run_verb", merge)
    for _ in range(2):
        merged = client.get(f"/v1/models/{tuned}/download", params={"format": "merged"})
        with tarfile.open(fileobj=io.BytesIO(merged.content)) as tar:
            assert [Path(member.name).name for member in tar] == ["model.safetensors"]
    assert len(merges) == 1
    assert error_of(client.get(f"/v1/models/{tuned}/download?format=x"), 400)["param"] == "format"
    base = tuned.split(":")[1]
    assert error_of(client.get(f"/v1/models/{base}/download"), 404)["param"] == "model"


def test_a_tuned_model_is_downloaded_as_one_gguf_file(
    client: TestClient, tuned: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    def export(verb: str, _: str, out: str) -> dict[str, Any]:
        assert verb == "gguf"
        Path(out).write_bytes(b"GGUF" * 99)
        return {}

    monkeypatch.setattr(weights, "run_verb", export)
    response = client.get(f"/v1/models/{tuned}/download", params={"format": "gguf"})
    assert response.content == b"GGUF" * 99
    assert response.headers["content-length"] == "396"
    assert response.headers["content-type"] == "application/octet-stream"
    assert response.headers["content-disposition"].endswith('.gguf"')


def test_a_model_that_gguf_cannot_hold_is_the_callers_error(
    client: TestClient, tuned: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    def export(*_: str) -> dict[str, Any]:
        message = "Models of type gpt2 can't be written as GGUF here: only llama, qwen2."
        raise verbs.VerbError({"code": "not_exportable", "message": message})

    monkeypatch.setattr(weights, "run_verb", export)
    error = error_of(client.get(f"/v1/models/{tuned}/download", params={"format": "gguf"}), 400)
    assert error["param"] == "format"
    assert "only llama, qwen2. Ask for `format=merged`." in error["message"]


def test_a_merge_that_fails_leaves_nothing(
    client: TestClient, tuned: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def merge(*_: str) -> dict[str, Any]:
        raise verbs.VerbError({"code": "internal", "message": "no space left"})

    monkeypatch.setattr(weights, "run_verb", merge)
    response = client.get(f"/v1/models/{tuned}/download", params={"format": "merged"})
    assert "no space left" in error_of(response, 503)["message"]
    assert [path.suffix for path in (tmp_path / "merged").iterdir()] == [".lock"]


@pytest.fixture
def whole(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """Merged weights of every checkpoint, without a merge."""
    path = tmp_path / "whole"
    path.mkdir()
    (path / "model.safetensors").write_bytes(b"m" * 9)
    monkeypatch.setattr(weights, "find", lambda *_: path)
    return path


def test_a_tuned_model_becomes_a_base_that_outlives_it(
    client: TestClient, work: Callable[[], None], checked: list[str], tuned: str, whole: Path
) -> None:
    error = error_of(
        client.post("/v1/fine_tuning/jobs", json={"model": tuned, "training_file": "file-1"}), 400
    )
    assert "first make it a base: POST /v1/models with `from`" in error["message"]
    made = client.post("/v1/models", json={"from": tuned}).json()
    name = made["id"]
    assert (made["status"], made["kind"], made["parent"]) == ("merging", "base", tuned)
    work()
    found = client.get(f"/v1/models/{name}").json()
    assert (found["status"], found["error"]) == ("ready", None)
    assert found["info"]["merged_from"]["weights_sha256"] == "0"
    (whole / "model.safetensors").unlink()
    assert (Path(checked[0]) / "model.safetensors").read_bytes() == b"m" * 9
    # The same request again returns the same base; another model can't take its name.
    assert client.post("/v1/models", json={"from": tuned}).json()["created"] == made["created"]
    step = {"from": f"{tuned}:ckpt-step-88", "id": "mine"}
    assert client.post("/v1/models", json=step).json()["id"] == "mine"


def test_what_can_not_become_a_base_is_refused(
    client: TestClient, work: Callable[[], None], tuned: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    for body, param in (
        ({"from": "ft:none"}, "from"),
        ({"from": tuned, "path": "/x"}, "path"),
        ({"from": tuned, "id": "a:b"}, "id"),
    ):
        assert error_of(client.post("/v1/models", json=body), 400)["param"] == param

    def lost(*_: Any) -> Path:
        raise Unavailable("The weights could not be merged: no space left")

    monkeypatch.setattr(weights, "find", lost)
    client.post("/v1/models", json={"from": tuned, "id": "lost"}).raise_for_status()
    work()
    failed = client.get("/v1/models/lost").json()
    assert (failed["status"], failed["error"]) == (
        "error",
        "The weights could not be merged: no space left",
    )


def test_a_reward_model_does_not_become_a_base(client: TestClient, tuned: str) -> None:
    with transaction() as session:
        job = session.scalars(select(Job).where(Job.fine_tuned_model == tuned)).one()
        job.method = {**job.method, "type": "reward"}
    error = error_of(client.post("/v1/models", json={"from": tuned}), 400)
    assert (error["param"], "is a reward model" in error["message"]) == ("from", True)
