"""`/v1/files` with OpenAI's own client, and with invalid files."""

import errno
import gzip
import hashlib
import json
import os
from collections.abc import Callable
from pathlib import Path
from typing import Any

import openai
import pytest
from fastapi.testclient import TestClient
from sqlalchemy import select
from sqlalchemy.exc import OperationalError

from models import File
from models.jobs import JobState
from orpo.rows.column_names import FIELDS, MAX_NAME
from services.files import files as file_service
from services.files import seed
from services.files.keys import keys_of
from services.platform import database, storage
from services.platform.database import transaction
from services.processes.verbs import VerbError
from services.upkeep import removals
from tests import records
from workers import files as file_tasks

PAIRS = [
    {"prompt": f"Question {n}?", "chosen": "Yes.", "rejected": "I could not say."} for n in range(5)
]


def jsonl(rows: list[Any]) -> bytes:
    return "".join(json.dumps(row) + "\n" for row in rows).encode()


@pytest.fixture
def pairs(tmp_path: Path) -> Path:
    path = tmp_path / "pairs.jsonl"
    path.write_bytes(jsonl(PAIRS))
    return path


def post(client: TestClient, content: bytes, name: str = "a.jsonl", **form: str) -> Any:
    return client.post(
        "/v1/files", files={"file": (name, content)}, data={"purpose": "fine-tune"} | form
    )


def stored(tmp_path: Path) -> list[Path]:
    return [path for path in (tmp_path / "storage").rglob("*") if path.is_file()]


def uploaded(tmp_path: Path) -> list[Path]:
    """What is stored of uploads, without what was made of them, which has a suffix."""
    return [path for path in stored(tmp_path) if not path.suffix]


def error_of(response: Any, status: int) -> dict[str, Any]:
    assert response.status_code == status, response.text
    error = response.json()["error"]
    assert error.keys() == {"message", "type", "param", "code"}
    assert error["message"].endswith(".")
    return error


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


def test_report_and_rows(client: TestClient, work: Callable[[], None]) -> None:
    bad = [{"prompt": "p", "chosen": "same", "rejected": "same"}, {"text": "no pair"}]
    file_id = post(client, jsonl([*PAIRS, *bad]) + b'{"prompt": \n').json()["id"]
    assert error_of(client.get(f"/v1/files/{file_id}/report"), 409)["code"] == "file_not_ready"
    work()
    report = client.get(f"/v1/files/{file_id}/report").json()
    assert (report["rows"], report["accepted"], report["shape"]) == (8, 5, "explicit")
    assert report["dropped"] == {"identical": 1, "not_a_pair": 1, "bad_json": 1}
    assert [finding["line"] for finding in report["findings"]] == [6, 7, 8]
    far = client.get(f"/v1/files/{file_id}/rows", params={"offset": 2**63 - 1})
    assert error_of(far, 400)["param"] == "offset"
    rows = client.get(f"/v1/files/{file_id}/rows", params={"offset": 3, "limit": 1}).json()
    assert (rows["total"], rows["has_more"]) == (5, True)
    assert rows["data"][0]["line"] == 4
    assert rows["data"][0]["prompt"] == [{"role": "user", "content": "Question 3?"}]
    assert client.get(f"/v1/files/{file_id}/rows", params={"offset": 5}).json()["data"] == []


def test_the_audit_of_a_file(client: TestClient, work: Callable[[], None]) -> None:
    file_id = post(client, jsonl([*PAIRS, PAIRS[0], {**PAIRS[1], "score": 1}])).json()["id"]
    work()
    audit = client.get(f"/v1/files/{file_id}/report").json()["audit"]
    assert audit["verdict"] == "not_ready"
    assert audit["reasons"][0].startswith("Only 7 rows can be used.")
    (finding,) = (each for each in audit["findings"] if each["code"] == "duplicate")
    assert (finding["severity"], finding["rows"]) == ("warning", 4)
    assert finding["lines"] == [1, 2, 6, 7]
    assert finding["repair"] == {"step": "deduplicate", "finding": "duplicate"}


def test_a_file_whose_audit_fails_can_be_used(
    client: TestClient, work: Callable[[], None], monkeypatch: pytest.MonkeyPatch
) -> None:
    run_verb = file_tasks.run_verb

    def fails(verb: str, *arguments: str, **options: Any) -> dict[str, Any]:
        if verb == "audit":
            raise VerbError({"code": "timeout", "message": "It took too long."})
        return run_verb(verb, *arguments, **options)

    monkeypatch.setattr(file_tasks, "run_verb", fails)
    file_id = post(client, jsonl(PAIRS)).json()["id"]
    work()
    assert client.get(f"/v1/files/{file_id}").json()["status"] == "processed"
    report = client.get(f"/v1/files/{file_id}/report").json()
    assert report["audit"] is None
    assert report["audit_failure"].startswith("The audit took too long.")
    row = client.get(f"/v1/files/{file_id}/rows", params={"offset": 4}).json()["data"][0]
    assert row["line"] == 5


def test_rows_of_a_file_without_offsets(client: TestClient, work: Callable[[], None]) -> None:
    file_id = post(client, jsonl(PAIRS)).json()["id"]
    work()
    with transaction() as session:
        storage.delete(keys_of(session.get_one(File, file_id).storage_key).offsets)
    rows = client.get(f"/v1/files/{file_id}/rows", params={"offset": 2, "limit": 2}).json()
    assert [row["line"] for row in rows["data"]] == [3, 4]


@pytest.mark.parametrize(
    ("content", "name", "says"),
    [
        (b"not json\n", "a.jsonl", "Line 1"),
        (b"\n\n", "a.jsonl", "holds no row"),
        (b"[]", "a.json", "holds no row"),
        (b"[" * 100_000, "a.json", "Line 1"),
        (b'{"prompt": "\\ud800", "chosen": "a", "rejected": "b"}\n', "a.jsonl", "Line 1"),
        (b"\xff\xfe\x00", "a.jsonl", "Line 1"),
        (b"PK\x03\x04" + bytes(40), "a.jsonl", "This is a ZIP archive."),
        (b"PAR1", "a", "Row 1: The Parquet file is cut off"),
        (b'{"a\\ud800b\\u0000": 1}', "a.jsonl", "Keys seen: a\ufffdb\ufffd."),
    ],
)
def test_a_file_without_a_usable_row_ends_in_error(
    client: TestClient, work: Callable[[], None], content: bytes, name: str, says: str
) -> None:
    file_id = post(client, content, name).json()["id"]
    work()
    file = client.get(f"/v1/files/{file_id}").json()
    assert file["status"] == "error"
    assert says in file["status_details"]
    assert client.get(f"/v1/files/{file_id}/report").json()["accepted"] == 0
    assert client.get(f"/v1/files/{file_id}/rows").json()["data"] == []


def test_a_refused_upload_names_the_field_and_leaves_nothing(
    client: TestClient, settings_from: Callable[..., None], tmp_path: Path
) -> None:
    assert error_of(post(client, b""), 400)["param"] == "file"
    assert error_of(post(client, b"x", columns="prompt=question"), 400)["param"] == "columns"
    assert error_of(post(client, b"x", purpose="assistants"), 400)["param"] == "purpose"
    only_purpose = client.post("/v1/files", files={"purpose": (None, "fine-tune")})
    assert error_of(only_purpose, 400)["param"] == "file"
    error_of(client.post("/v1/files", json={}), 400)
    error_of(client.post("/v1/files", content=b"x" * 99, headers=multipart("b")), 400)
    long = client.post("/v1/files", content=b"x", headers=multipart("b" * 300))
    assert "300 characters" in error_of(long, 400)["message"]
    cut = b'--b\r\nContent-Disposition: form-data; name="file"; filename="a.jsonl"\r\n\r\nrow'
    assert (
        "broke off"
        in error_of(client.post("/v1/files", content=cut, headers=multipart("b")), 400)["message"]
    )
    settings_from(max_upload_bytes=10)
    assert error_of(post(client, b"x" * 11), 413)["param"] == "file"
    assert error_of(post(client, b"x" * 200_000), 413)["param"] == "file"
    assert stored(tmp_path) == []
    assert client.get("/v1/files").json()["data"] == []


QUESTIONS = [
    {"question": f"Question {n}?", "best": "Yes.", "worst": "I could not say."} for n in range(5)
]
COLUMNS = {"prompt": "question", "chosen": "best", "rejected": "worst"}


def test_columns_with_other_names_are_suggested_and_then_read(
    client: TestClient, work: Callable[[], None]
) -> None:
    content = gzip.compress(jsonl(QUESTIONS))
    first = post(client, content, "pairs").json()
    work()
    failed = client.get(f"/v1/files/{first['id']}").json()
    assert failed["status"] == "error"
    command = "oddsmith files upload FILE --columns prompt=question,chosen=best,rejected=worst"
    assert failed["status_details"].endswith(command)
    report = client.get(f"/v1/files/{first['id']}/report").json()
    assert (report["suggested_columns"], report["container"]) == (COLUMNS, "jsonl.gz")
    second = post(client, content, "pairs", columns=json.dumps(COLUMNS)).json()
    assert second["columns"] == COLUMNS
    work()
    assert client.get(f"/v1/files/{second['id']}").json()["accepted"] == 5
    rows = client.get(f"/v1/files/{second['id']}/rows").json()["data"]
    assert rows[4]["prompt"] == [{"role": "user", "content": "Question 4?"}]


def test_the_openai_client_sends_columns_as_an_extra_field(openai_client: openai.OpenAI) -> None:
    body = {"columns": json.dumps(COLUMNS), "other": "ignored"}
    file = ("a.jsonl", jsonl(QUESTIONS))
    sent = openai_client.files.create(file=file, purpose="fine-tune", extra_body=body)
    assert sent.to_dict()["columns"] == COLUMNS


def test_long_names_of_columns_may_have_any_letters(
    client: TestClient, work: Callable[[], None]
) -> None:
    """As ASCII, such a mapping would be longer than the core reads."""
    columns = {field: "é" * (MAX_NAME - 2) + f"{n:02}" for n, field in enumerate(FIELDS)}
    row = {columns[field]: field for field in ("prompt", "chosen", "rejected")}
    text = json.dumps(columns, ensure_ascii=False)
    file_id = post(client, jsonl([row]), columns=text).json()["id"]
    work()
    found = client.get(f"/v1/files/{file_id}").json()
    assert (found["status"], found["accepted"], found["columns"]) == ("processed", 1, columns)


def test_a_mapped_column_that_no_row_has_is_named(
    client: TestClient, work: Callable[[], None]
) -> None:
    columns = json.dumps({"prompt": "qestion"})
    file_id = post(client, jsonl(QUESTIONS), columns=columns).json()["id"]
    work()
    details = client.get(f"/v1/files/{file_id}").json()["status_details"]
    assert "No row has the column qestion, which `columns` reads as prompt." in details


def test_thumbs_are_counted_once_they_are_paired(
    client: TestClient, work: Callable[[], None]
) -> None:
    thumbs = [{"prompt": "p", "completion": str(n), "label": n > 1} for n in range(3)]
    file_id = post(client, jsonl(thumbs)).json()["id"]
    work()
    report = client.get(f"/v1/files/{file_id}/report").json()
    assert (report["rows"], report["accepted"], report["joined"]) == (3, 1, 1)
    assert (report["dropped"], report["shape"]) == ({"unpaired": 1}, "thumbs")
    assert client.get(f"/v1/files/{file_id}/rows").json()["total"] == 1


def multipart(boundary: str) -> dict[str, str]:
    return {"Content-Type": f"multipart/form-data; boundary={boundary}"}


@pytest.mark.parametrize(
    ("headers", "parts"),
    [
        pytest.param('Content-Disposition: form-data; name="a"\r\n', 65, id="many parts"),
        pytest.param("", 65, id="many parts without headers"),
        pytest.param("x: y\r\n" * 100, 1, id="many headers"),
        pytest.param("x: " + "y" * 5000 + "\r\n", 1, id="a long header"),
        pytest.param("x" * 5000 + ": y\r\n", 1, id="a long name"),
    ],
)
def test_a_form_has_few_parts_and_headers(
    client: TestClient, tmp_path: Path, headers: str, parts: int
) -> None:
    """The file comes last, so that without a limit the form would be accepted."""
    disposition = 'Content-Disposition: form-data; name="file"; filename="a.jsonl"\r\n'
    body = "".join(
        [f"--b\r\n{headers}\r\n\r\n"] * parts
        + [f"--b\r\n{disposition}\r\n{json.dumps(PAIRS[0])}\n\r\n"]
        + ['--b\r\nContent-Disposition: form-data; name="purpose"\r\n\r\nfine-tune\r\n--b--\r\n']
    )
    kind = {"Content-Type": "multipart/form-data; boundary=b"}
    error_of(client.post("/v1/files", content=body, headers=kind), 400)
    assert stored(tmp_path) == []


@pytest.mark.parametrize(
    ("name", "shown"),
    [("../../etc/x.jsonl", "x.jsonl"), ("C:\\a\\b.jsonl", "b.jsonl"), ("a\x07b.jsonl", "ab.jsonl")],
)
def test_a_name_keeps_no_path_and_no_control_character(name: str, shown: str) -> None:
    assert file_service.safe_name(name) == shown


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


def test_validation_may_run_twice_late_or_without_its_bytes(
    client: TestClient, work: Callable[[], None], tmp_path: Path
) -> None:
    # Equal files would share their bytes.
    first, second, third = (post(client, jsonl(PAIRS[n:])).json()["id"] for n in range(3))
    with transaction() as session:
        record = session.scalars(select(File).where(File.id == third)).one()
    (tmp_path / "storage" / record.storage_key).unlink()
    client.delete(f"/v1/files/{second}").raise_for_status()
    for file_id in (first, second, second):
        file_tasks.validate(file_id)
    work()
    file_tasks.validate("file-none")
    file_tasks.validate(first)
    statuses = [client.get(f"/v1/files/{file_id}").json() for file_id in (first, third)]
    assert [file["status"] for file in statuses] == ["processed", "error"]
    assert "Upload it again." in statuses[1]["status_details"]
    assert len(stored(tmp_path)) == 4


def test_a_disk_that_is_full_is_said_and_nothing_stays(
    client: TestClient, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    file_id = post(client, jsonl(PAIRS)).json()["id"]
    kept = stored(tmp_path)

    def full(*_: Any) -> None:
        raise OSError(errno.ENOSPC, "No space left on device")

    monkeypatch.setattr(os, "fsync", full)
    assert error_of(post(client, jsonl(PAIRS)), 507)["code"] == "disk_full"
    file_tasks.validate(file_id)
    assert "free some space" in client.get(f"/v1/files/{file_id}").json()["status_details"]
    assert stored(tmp_path) == kept


def test_a_file_deleted_while_it_is_read_leaves_nothing(
    client: TestClient,
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
    work: Callable[[], None],
) -> None:
    file_id = post(client, jsonl(PAIRS)).json()["id"]
    read = file_tasks.read

    def slowly(record: File, rows_key: str) -> Any:
        found = read(record, rows_key)
        client.delete(f"/v1/files/{file_id}").raise_for_status()
        work()
        return found

    monkeypatch.setattr(file_tasks, "read", slowly)
    file_tasks.validate(file_id)
    assert removals.remove_all() == 0
    assert stored(tmp_path) == []


def test_a_file_is_read_by_one_worker_at_a_time(client: TestClient) -> None:
    file_id = post(client, jsonl(PAIRS)).json()["id"]
    with database.alone(file_id):
        file_tasks.validate(file_id)
        assert client.get(f"/v1/files/{file_id}").json()["status"] == "uploaded"
    file_tasks.validate(file_id)
    assert client.get(f"/v1/files/{file_id}").json()["status"] == "processed"


def test_a_file_that_ends_its_worker_each_time_is_given_up(
    client: TestClient, settings_from: Callable[..., None]
) -> None:
    settings_from(max_attempts=2)
    file_id = post(client, jsonl(PAIRS)).json()["id"]
    for _ in range(2):  # the worker dies each time
        with transaction() as session:
            assert file_service.begin_validation(session, file_id)
    file_tasks.validate(file_id)
    found = client.get(f"/v1/files/{file_id}").json()
    assert found["status"] == "error"
    assert "ended 2 times before it was done" in found["status_details"]
    file_tasks.validate(file_id)  # no further attempt
