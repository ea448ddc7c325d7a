"""Bases that are the sum of a base and a LoRA adapter that was made elsewhere."""

import json
import os
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
from fastapi.testclient import TestClient

from services.files import seed
from services.platform.database import transaction
from services.processes.verbs import VerbError
from tests import records
from tests.api.sent_files import error_of
from workers import base_models


@pytest.fixture
def base() -> str:
    with transaction() as session:
        return records.base_model(session, seed.organization(session)).id


@pytest.fixture
def adapter(tmp_path: Path) -> Path:
    folder = tmp_path / "adapter"
    folder.mkdir()
    (folder / "adapter_config.json").write_text(json.dumps({"peft_type": "LORA", "r": 2}))
    (folder / "adapter_model.safetensors").write_bytes(b"weights")
    return folder


def test_an_adapter_becomes_a_base(
    client: TestClient,
    work: Callable[[], None],
    checked: list[str],
    base: str,
    adapter: Path,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    asked: list[tuple[str, ...]] = []

    def run_verb(*arguments: str, **_: Any) -> dict[str, Any]:
        asked.append(arguments)
        Path(arguments[3]).mkdir()
        return {}

    monkeypatch.setattr(base_models, "run_verb", run_verb)
    body = {"id": "sum", "from": base, "adapter": str(adapter)}
    made = client.post("/v1/models", json=body).json()
    assert (made["status"], made["kind"], made["parent"]) == ("merging", "base", base)
    work()
    found = client.get("/v1/models/sum").json()
    assert (found["status"], found["error"]) == ("ready", None)
    digest = found["info"]["folded"]["sha256"]
    assert found["info"]["folded"] == {"model": base, "adapter": str(adapter), "sha256": digest}
    ((verb, source, _, out, given),) = asked
    assert (verb, source, given) == ("fold", str(adapter), digest)
    assert checked == [out.removesuffix(".new")]
    assert client.post("/v1/models", json=body).json()["created"] == made["created"]


def test_why_it_could_not_be_merged_is_told(
    client: TestClient,
    work: Callable[[], None],
    base: str,
    adapter: Path,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    def run_verb(*_: str, **__: Any) -> dict[str, Any]:
        raise VerbError({"code": "bad_model", "message": "It does not fit its base."})

    monkeypatch.setattr(base_models, "run_verb", run_verb)
    body = {"id": "sum", "from": base, "adapter": str(adapter)}
    client.post("/v1/models", json=body).raise_for_status()
    work()
    found = client.get("/v1/models/sum").json()
    sentence = "The adapter could not be merged: It does not fit its base."
    assert (found["status"], found["error"]) == ("error", sentence)


def without(name: str) -> Callable[[Path], object]:
    return lambda folder: (folder / name).unlink()


def as_fifo(folder: Path) -> None:
    (folder / "adapter_model.safetensors").unlink()
    os.mkfifo(folder / "adapter_model.safetensors")


def as_settings(text: str) -> Callable[[Path], object]:
    return lambda folder: (folder / "adapter_config.json").write_text(text)


@pytest.mark.parametrize(
    ("spoil", "sentence"),
    [
        (without("adapter_model.safetensors"), "must be readable files"),
        (without("adapter_config.json"), "must be readable files"),
        (as_fifo, "a FIFO"),
        (as_settings("{"), "must be readable files"),
        (as_settings("[]"), "`peft_type` must be LORA"),
        (as_settings('{"peft_type": "IA3"}'), "`peft_type` must be LORA"),
    ],
)
def test_a_folder_without_a_lora_is_refused_at_once(
    client: TestClient,
    base: str,
    adapter: Path,
    spoil: Callable[[Path], object],
    sentence: str,
) -> None:
    spoil(adapter)
    body = {"id": "sum", "from": base, "adapter": str(adapter)}
    error = error_of(client.post("/v1/models", json=body), 400)
    assert (error["param"], sentence in error["message"]) == ("adapter", True)


@pytest.mark.parametrize(
    ("changed", "status", "param"),
    [
        ({"from": None}, 400, "from"),
        ({"id": None}, 400, "id"),
        ({"path": "/x"}, 400, "path"),
        ({"adapter": "/nowhere"}, 400, "adapter"),
        ({"adapter": "relative"}, 400, "adapter"),
        ({"from": "none"}, 400, "from"),
    ],
)
def test_what_is_missing_is_named(
    client: TestClient,
    base: str,
    adapter: Path,
    changed: dict[str, str | None],
    status: int,
    param: str,
) -> None:
    body = {"id": "sum", "from": base, "adapter": str(adapter)} | changed
    given = {name: value for name, value in body.items() if value is not None}
    assert error_of(client.post("/v1/models", json=given), status)["param"] == param


def test_folders_of_the_server_are_for_admins(client: TestClient, base: str, adapter: Path) -> None:
    writer = client.post("/v1/api_keys", json={"name": "ci", "scopes": ["write"]}).json()["key"]
    body = {"id": "sum", "from": base, "adapter": str(adapter)}
    headers = {"Authorization": f"Bearer {writer}"}
    answer = client.post("/v1/models", json=body, headers=headers)
    assert error_of(answer, 403)["code"] == "insufficient_scope"
