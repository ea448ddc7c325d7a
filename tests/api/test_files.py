"""`/v1/files` with OpenAI's own client: stored, listed, deleted and expired."""

import hashlib
from collections.abc import Callable
from pathlib import Path
from typing import Any

import openai
import pytest
from fastapi.testclient import TestClient
from sqlalchemy import func, update
from sqlalchemy.exc import OperationalError

from models import File
from models.jobs import JobState
from services.access.callers import Caller
from services.files import files, seed
from services.jobs import jobs
from services.platform.database import transaction
from tests import records
from tests.api.sent_files import PAIRS, error_of, jsonl, post, stored, uploaded
from tests.api.sent_parts import CONTENT


@pytest.fixture
def pairs(tmp_path: Path) -> Path:
    path = tmp_path / "pairs.jsonl"
    path.write_bytes(jsonl(PAIRS))
    return path


def test_the_loop_of_a_file_with_the_openai_client(
    openai_client: openai.OpenAI, work: Callable[[], None], pairs: Path, tmp_path: Path
) -> None:
    with pairs.open("rb") as file:
        uploaded = openai_client.files.create(file=file, purpose="fine-tune")
    assert (uploaded.object, uploaded.status, uploaded.filename) == (
        "file",
        "uploaded",
        "pairs.jsonl",
    )
    assert uploaded.bytes == pairs.stat().st_size
    work()
    done = openai_client.files.wait_for_processing(uploaded.id, poll_interval=0.01)
    assert (done.status, done.status_details) == ("processed", None)
    assert openai_client.files.content(uploaded.id).read() == pairs.read_bytes()
    assert done.to_dict()["sha256"] == hashlib.sha256(pairs.read_bytes()).hexdigest()
    assert [file.id for file in openai_client.files.list(purpose="fine-tune")] == [uploaded.id]
    assert not list(openai_client.files.list(purpose="other"))
    # The bytes, the accepted rows, their offsets, and the rows of each finding.
    assert len(stored(tmp_path)) == 4

    assert openai_client.files.delete(uploaded.id).deleted
    work()
    assert stored(tmp_path) == []
    with pytest.raises(openai.NotFoundError) as caught:
        openai_client.files.retrieve(uploaded.id)
    assert caught.value.param == "file_id"


def test_pages_follow_after_in_both_orders(
    openai_client: openai.OpenAI, client: TestClient
) -> None:
    ids = [post(client, jsonl(PAIRS)).json()["id"] for _ in range(5)]
    for order, expected in (("asc", ids), ("desc", ids[::-1])):
        pages = openai_client.files.list(limit=2, order=order)  # type: ignore[arg-type]
        assert [file.id for file in pages] == expected
    first = client.get("/v1/files", params={"limit": 2, "order": "asc"}).json()
    assert first["has_more"] is True
    assert (first["first_id"], first["last_id"]) == (ids[0], ids[1])
    # A cursor stays valid after its file was deleted.
    client.delete(f"/v1/files/{ids[1]}")
    after = client.get("/v1/files", params={"after": ids[1], "order": "asc"}).json()
    assert [file["id"] for file in after["data"]] == ids[2:]
    assert error_of(client.get("/v1/files?after=file-none"), 400)["param"] == "after"
    assert error_of(client.get("/v1/files?limit=0"), 400)["param"] == "limit"


def test_nothing_stays_when_the_row_is_not_written(
    client: TestClient, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def fail(*_: Any, **__: Any) -> None:
        raise OperationalError("INSERT", {}, Exception("the server closed the connection"))

    monkeypatch.setattr("api.routes.files.files.create", fail)
    response = post(client, jsonl(PAIRS))
    assert error_of(response, 503)["type"] == "service_unavailable"
    assert response.headers["retry-after"] == "2"
    assert stored(tmp_path) == []


def test_a_file_in_use_is_not_deleted(client: TestClient, work: Callable[[], None]) -> None:
    file_id = post(client, jsonl(PAIRS)).json()["id"]
    with transaction() as session:
        owner = seed.organization(session)
        job_id = records.job(session, owner, JobState.QUEUED, training_file=file_id).id
    response = client.delete(f"/v1/files/{file_id}")
    error = error_of(response, 409)
    assert job_id in error["message"]
    assert error["param"] == "file_id"
    assert response.headers["x-should-retry"] == "false"
    client.post(f"/v1/fine_tuning/jobs/{job_id}/cancel").raise_for_status()
    assert client.delete(f"/v1/files/{file_id}").json() == {
        "id": file_id,
        "object": "file",
        "deleted": True,
    }


def test_a_file_expires_when_its_owner_has_said_so(
    real: openai.OpenAI, work: Callable[[], None], tmp_path: Path
) -> None:
    after: Any = {"anchor": "created_at", "seconds": 3600}
    begun = real.uploads.create(
        bytes=len(CONTENT), filename="a.jsonl", mime_type="x", purpose="fine-tune",
        expires_after=after,
    )  # fmt: skip
    part = real.uploads.parts.create(begun.id, data=CONTENT).id
    first = real.uploads.complete(begun.id, part_ids=[part]).file
    sent = ("a.jsonl", jsonl(PAIRS))
    second = real.files.create(file=sent, purpose="fine-tune", expires_after=after)
    kept = real.files.create(file=("b.jsonl", CONTENT), purpose="fine-tune")
    assert first
    for file in (first, second):
        assert file.expires_at == file.created_at + 3600
    assert kept.expires_at is None
    for wrong in ({"anchor": "created_at", "seconds": 5}, {"anchor": "x", "seconds": 3600}):
        with pytest.raises(openai.BadRequestError) as caught:
            real.files.create(file=sent, purpose="fine-tune", expires_after=wrong)  # type: ignore[arg-type]
        assert caught.value.param == "expires_after"
    with transaction() as session:
        session.execute(update(File).values(expires_at=None).where(File.id == kept.id))
        late = File.expires_at.is_not(None)
        session.execute(update(File).values(expires_at=func.clock_timestamp()).where(late))
        owner = session.get_one(File, first.id)
        caller = Caller(owner.org_id, owner.api_key_id, records.SCOPES)
        job = records.job(session, caller, JobState.QUEUED, training_file=first.id)
    with transaction() as session:
        files.expire(session)

    def listed() -> set[str]:
        return {file.id for file in real.files.list()} & {first.id, second.id, kept.id}

    assert listed() == {kept.id, first.id}
    with transaction() as session:
        jobs.cancel(session, caller, job.id)
        files.expire(session)
    work()
    assert real.files.content(kept.id).read() == CONTENT
    assert listed() == {kept.id}
    assert len(uploaded(tmp_path)) == 1
