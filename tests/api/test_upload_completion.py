"""Uploads that are completed: wrong lists, damaged parts, and several requests at once."""

import hashlib
import json
import threading
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Any

import pytest
from fastapi.testclient import TestClient
from sqlalchemy import select

from models import AuditEntry, File, Upload
from services.files import upload_completion
from services.platform import database
from services.platform.database import transaction
from services.upkeep import removals
from tests.api.sent_files import PAIRS, content_of, error_of, jsonl, stored
from tests.api.sent_parts import CONTENT, PARTS, begin, complete, make_late, send, send_all


def test_a_list_that_does_not_make_up_the_file_is_refused(client: TestClient) -> None:
    upload = begin(client)
    ids = send_all(client, upload)
    other = send(client, begin(client), PARTS[0]).json()["id"]
    for wrong in (ids[:-1], [*ids, ids[0]], [other, *ids[1:]], ["part-none"]):
        assert error_of(complete(client, upload, wrong), 400)["param"] == "part_ids"
    assert error_of(complete(client, upload, []), 400)["param"] == "part_ids"
    assert error_of(complete(client, upload, ids, md5="0" * 32), 400)["param"] == "md5"
    assert error_of(complete(client, upload, ids, md5="short"), 400)["param"] == "md5"
    assert client.get("/v1/files").json()["data"] == []
    # Nothing of these is final.
    md5 = hashlib.md5(CONTENT).hexdigest()
    complete(client, upload, ids, md5=md5.upper()).raise_for_status()


def test_completing_twice_gives_the_same_file(client: TestClient, work: Callable[[], None]) -> None:
    upload = begin(client)
    ids = send_all(client, upload)
    first = complete(client, upload, ids).json()
    work()
    assert complete(client, upload, ids).json()["file"]["id"] == first["file"]["id"]
    other = complete(client, upload, ids[::-1])
    assert first["file"]["id"] in error_of(other, 409)["message"]
    assert other.headers["x-should-retry"] == "false"
    for late in (send(client, upload, b"x"), client.post(f"/v1/uploads/{upload}/cancel")):
        assert error_of(late, 409)["code"] == "upload_not_pending"
        assert late.headers["x-should-retry"] == "false"
    assert client.get(f"/v1/uploads/{upload}/parts").json()["data"] == []
    assert len(client.get("/v1/files").json()["data"]) == 1


def test_two_that_complete_at_once_get_one_file(
    client: TestClient, monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    upload = begin(client)
    ids = send_all(client, upload)
    assembled, barrier = [], threading.Barrier(2)
    real = upload_completion.assemble

    def assemble(assembly: upload_completion.Assembly) -> Any:
        assembled.append(assembly)
        return real(assembly)

    def one(_: int) -> Any:
        barrier.wait()
        return complete(client, upload, ids).json()["file"]["id"]

    monkeypatch.setattr(upload_completion, "assemble", assemble)
    with ThreadPoolExecutor(2) as pool:
        first, second = pool.map(one, range(2))
    assert first == second
    assert len(assembled) == 1
    assert len(list((tmp_path / "storage" / "files").iterdir())) == 1


def test_one_that_lost_its_lock_registers_no_second_file(
    client: TestClient, monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    """Its connection broke off while it assembled, and another has completed the upload."""
    upload = begin(client)
    ids = send_all(client, upload)
    real = upload_completion.assemble

    def slowly(assembly: upload_completion.Assembly) -> Any:
        received = real(assembly)
        with database.engine().connect() as connection:
            connection.exec_driver_sql(
                "SELECT pg_terminate_backend(pid) FROM pg_locks WHERE locktype = 'advisory'"
            )
        monkeypatch.setattr(upload_completion, "assemble", real)
        complete(client, upload, ids).raise_for_status()
        return received

    monkeypatch.setattr(upload_completion, "assemble", slowly)
    late = complete(client, upload, ids).json()
    (file,) = client.get("/v1/files").json()["data"]
    assert late["file"]["id"] == file["id"]
    assert content_of(client, file["id"]) == CONTENT
    assert len(list((tmp_path / "storage" / "files").iterdir())) == 1


def test_a_cancel_while_parts_are_assembled_wins(
    client: TestClient, monkeypatch: pytest.MonkeyPatch, tmp_path: Path, work: Callable[[], None]
) -> None:
    upload = begin(client)
    ids = send_all(client, upload)
    real = upload_completion.assemble

    def meanwhile(assembly: upload_completion.Assembly) -> Any:
        received = real(assembly)
        client.post(f"/v1/uploads/{upload}/cancel").raise_for_status()
        assert removals.remove_all() == 1  # the parts are being read
        return received

    monkeypatch.setattr(upload_completion, "assemble", meanwhile)
    error_of(complete(client, upload, ids), 409)
    work()
    assert stored(tmp_path) == []


def test_one_that_becomes_late_while_it_is_completed_is_completed(
    client: TestClient, monkeypatch: pytest.MonkeyPatch
) -> None:
    upload = begin(client)
    ids = send_all(client, upload)
    real = upload_completion.assemble

    def slowly(assembly: upload_completion.Assembly) -> Any:
        make_late(upload)
        assert removals.remove_all() == 1
        return real(assembly)

    monkeypatch.setattr(upload_completion, "assemble", slowly)
    assert complete(client, upload, ids).json()["status"] == "completed"


def test_a_damaged_part_is_not_put_into_a_file(client: TestClient, tmp_path: Path) -> None:
    upload = begin(client)
    ids = send_all(client, upload)
    for path in stored(tmp_path)[:1]:
        path.write_bytes(bytes([path.read_bytes()[0] ^ 1]) + path.read_bytes()[1:])
    assert error_of(complete(client, upload, ids), 409)["code"] == "part_damaged"
    assert client.get("/v1/files").json()["data"] == []


def test_the_row_of_a_file_names_who_completed_it(client: TestClient) -> None:
    upload = begin(client, len(jsonl(PAIRS)))
    part = send(client, upload, jsonl(PAIRS)).json()["id"]
    file_id = complete(client, upload, [part]).json()["file"]["id"]
    with transaction() as session:
        file, made_of = session.get_one(File, file_id), session.get_one(Upload, upload)
        assert file.api_key_id == made_of.api_key_id
        entries = select(AuditEntry).where(AuditEntry.object_id.in_([file_id, upload]))
        found = [(entry.action, entry.object_type) for entry in session.scalars(entries)]
    assert sorted(found) == [("created", "file"), ("created", "upload")]
    assert json.loads(content_of(client, file_id).splitlines()[0]) == PAIRS[0]
