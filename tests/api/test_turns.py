"""Keys take turns at the workers, short work never waits for long work, DELETE ends a check."""

import io
import json
import threading
from collections.abc import Callable
from pathlib import Path
from typing import Any

import psutil
import pytest
from fastapi.testclient import TestClient
from sqlalchemy import select

from models import BaseModelRecord, File, Job
from models.base_models import BaseModelStatus
from models.files import FileStatus
from services.files import hub, seed
from services.platform import queue
from services.platform.database import transaction
from tests import records
from tests.api.conftest import OTHER
from tests.api.fake_engine import wait_until
from tests.processes import those
from workers import base_models, preparations
from workers import files as file_tasks
from workers.app import _queue_of, app

ROW = json.dumps({"prompt": "Hi", "chosen": "Yes", "rejected": "No"}).encode()
THEIRS = {"Authorization": f"Bearer {OTHER}"}


def upload(client: TestClient, **headers: str) -> str:
    form = {"file": ("pairs.jsonl", io.BytesIO(ROW))}
    answer = client.post("/v1/files", files=form, data={"purpose": "fine-tune"}, headers=headers)
    return answer.raise_for_status().json()["id"]


def sent() -> list[tuple[str, dict[str, Any]]]:
    """Take what is in the outbox, in order."""
    messages: list[tuple[str, dict[str, Any]]] = []
    with transaction() as session:
        queue.dispatch(session, lambda task, arguments: messages.append((task, arguments)))
    return messages


def do(messages: list[tuple[str, dict[str, Any]]]) -> None:
    """Run the tasks of these messages, as their worker would."""
    app.loader.import_default_modules()
    for task, arguments in messages:
        app.tasks[task](**arguments)


def test_an_upload_waits_for_one_of_another_key_s_at_most(client: TestClient, other: None) -> None:
    for _ in range(5):
        upload(client)
    theirs = upload(client, **THEIRS)
    do(sent()[:2])
    with transaction() as session:
        assert session.get_one(File, theirs).status == FileStatus.PROCESSED
        read = session.scalars(select(File.id).where(File.status == FileStatus.PROCESSED)).all()
    assert len(read) == 2


@pytest.fixture
def prepared(monkeypatch: pytest.MonkeyPatch) -> list[str]:
    """The keys whose jobs were prepared or whose bases were fetched, in order."""
    done: list[str] = []

    def prepare(job_id: str) -> None:
        with transaction() as session:
            job = session.get_one(Job, job_id)
            done.append(str(job.api_key_id))
            job.state = "queued"

    def fetch(record: BaseModelRecord) -> None:
        done.append(str(record.api_key_id))
        with transaction() as session:
            session.get_one(BaseModelRecord, record.id).status = BaseModelStatus.READY

    monkeypatch.setattr(preparations, "prepare", prepare)
    monkeypatch.setattr(base_models, "fetch", fetch)
    return done


def ask_for_job(client: TestClient, **headers: str) -> str:
    with transaction() as session:
        owner = seed.organization(session)
        body = {
            "model": records.base_model(session, owner).id,
            "training_file": records.file(session, owner).id,
        }
    answer = client.post("/v1/fine_tuning/jobs", json=body, headers=headers)
    return answer.raise_for_status().json()["id"]


def account_of(job_id: str) -> str:
    with transaction() as session:
        return str(session.get_one(Job, job_id).api_key_id)


def test_a_preparation_waits_for_one_item_of_another_key_s_at_most(
    client: TestClient, other: None, prepared: list[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(hub, "resolve", lambda *_: "c0ffee" * 6)
    for n in range(3):
        client.post("/v1/models", json={"id": f"acme/m{n}"}).raise_for_status()
    jobs = [ask_for_job(client) for _ in range(3)]
    theirs = [ask_for_job(client, **THEIRS) for _ in range(2)]
    messages = sent()
    assert len(messages) == 8
    do(messages[:4])
    mine, other_one = account_of(jobs[0]), account_of(theirs[0])
    assert prepared == [mine, other_one, mine, other_one]
    do(messages[4:])
    assert prepared[4:] == [mine] * 4


def test_short_and_long_work_have_queues_of_their_own(
    client: TestClient, monkeypatch: pytest.MonkeyPatch
) -> None:
    def queues() -> set[str]:
        return {(_queue_of(task) or {})["queue"] for task, _ in sent()}

    upload(client)
    short = queues()
    ask_for_job(client)
    monkeypatch.setattr(hub, "resolve", lambda *_: "c0ffee" * 6)
    client.post("/v1/models", json={"id": "acme/tiny"}).raise_for_status()
    assert short.isdisjoint(queues())


@pytest.fixture
def endless(
    tmp_path: Path, settings_from: Callable[..., None], product: None
) -> Callable[[], list[psutil.Process]]:
    """Make checks of files never end; return a function that lists their live processes."""
    python = tmp_path / "python"
    python.write_text("#!/bin/sh\nexec sleep 61\n")
    python.chmod(0o700)
    settings_from(train_python=python)

    def alive() -> list[psutil.Process]:
        tree = psutil.Process().children(recursive=True)
        return those(tree, lambda process: process.cmdline() == ["sleep", "61"])

    return alive


def test_deleting_a_file_ends_its_check(
    client: TestClient,
    endless: Callable[[], list[psutil.Process]],
    work: Callable[[], None],
    tmp_path: Path,
) -> None:
    file_id = upload(client)
    worker = threading.Thread(target=file_tasks.validate, args=(file_id,), daemon=True)
    worker.start()
    assert wait_until(endless)
    client.delete(f"/v1/files/{file_id}").raise_for_status()
    worker.join(20)
    assert not worker.is_alive()
    assert wait_until(lambda: not endless())
    work()
    assert [path for path in (tmp_path / "storage").rglob("*") if path.is_file()] == []


def test_a_check_that_takes_too_long_is_ended(
    client: TestClient,
    endless: Callable[[], list[psutil.Process]],
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setattr(file_tasks, "CHECK_S", 0.3)
    file_id = upload(client)
    file_tasks.validate(file_id)
    found = client.get(f"/v1/files/{file_id}").json()
    assert found["status"] == "error"
    assert "Split the file" in found["status_details"]
    assert wait_until(lambda: not endless())
