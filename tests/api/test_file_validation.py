"""What the validation of a file finds, and how it ends where something fails."""

import errno
import os
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
from fastapi.testclient import TestClient
from sqlalchemy import select

from models import File
from services.files import files as file_service
from services.files.keys import keys_of
from services.platform import database, storage
from services.platform.database import transaction
from services.processes.verbs import VerbError
from services.upkeep import removals
from tests.api.sent_files import PAIRS, error_of, jsonl, post, stored
from workers import files as file_tasks


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
