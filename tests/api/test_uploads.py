"""`/v1/uploads` with OpenAI's own client on a real server, and uploads that are refused."""

import hashlib
from collections.abc import Callable
from pathlib import Path

import openai
from fastapi.testclient import TestClient

from tests.api.sent_files import error_of, uploaded
from tests.api.sent_parts import CONTENT, PART, begin


def test_the_helper_of_the_openai_client_for_large_files(
    real: openai.OpenAI, work: Callable[[], None], tmp_path: Path
) -> None:
    path = tmp_path / "pairs.jsonl"
    path.write_bytes(CONTENT)
    done = real.uploads.upload_file_chunked(
        file=path,
        mime_type="application/jsonl",
        purpose="fine-tune",
        part_size=PART,
        md5=hashlib.md5(CONTENT).hexdigest(),
    )
    assert (done.object, done.status, done.bytes, done.filename, done.purpose) == (
        "upload", "completed", len(CONTENT), "pairs.jsonl", "fine-tune",
    )  # fmt: skip
    assert 3600 <= done.expires_at - done.created_at < 3700  # an hour after the last part
    assert done.file
    assert done.file.bytes == len(CONTENT)
    assert done.file.to_dict()["sha256"] == hashlib.sha256(CONTENT).hexdigest()
    assert real.files.content(done.file.id).read() == CONTENT
    work()
    assert real.files.retrieve(done.file.id).status == "processed"
    assert len(uploaded(tmp_path)) == 1  # the file: the parts are gone


def test_an_upload_is_refused_as_its_file_would_be(
    client: TestClient, settings_from: Callable[..., None]
) -> None:
    settings_from(max_upload_bytes=10, org_quota_bytes=8)
    good = {"filename": "a.jsonl", "purpose": "fine-tune", "bytes": 8, "mime_type": "x"}
    for status, param, wrong in (
        (400, "filename", ""), (400, "purpose", "assistants"), (413, "bytes", 11),
        (413, "bytes", 9), (400, "bytes", 0), (400, "mime_type", 5),
    ):  # fmt: skip
        answer = client.post("/v1/uploads", json=good | {param: wrong})
        assert error_of(answer, status)["param"] == param
    client.post("/v1/uploads", json=good).raise_for_status()


def test_another_organisation_sees_nothing(client: TestClient, stranger: str) -> None:
    upload = begin(client)
    theirs = {"Authorization": f"Bearer {stranger}"}
    path = f"/v1/uploads/{upload}"
    body = {"part_ids": ["part-1"]}
    for answer in (
        client.get(path, headers=theirs),
        client.get(f"{path}/parts", headers=theirs),
        client.post(f"{path}/parts", headers=theirs, files={"data": b"x"}),
        client.post(f"{path}/complete", headers=theirs, json=body),
        client.post(f"{path}/cancel", headers=theirs),
    ):
        assert error_of(answer, 404)["param"] == "upload_id"
