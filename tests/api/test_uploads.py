"""`/v1/uploads` with OpenAI's own client on a real server, and with wrong parts."""

import hashlib
import json
import threading
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Any

import openai
import pytest
from fastapi import FastAPI
from fastapi.testclient import TestClient
from sqlalchemy import func, select, update

from models import AuditEntry, File, Upload, UploadPart
from models.jobs import JobState
from services.access.callers import Caller
from services.files import files, uploads
from services.jobs import jobs
from services.platform import database, storage
from services.platform.database import transaction
from services.upkeep import leftovers, pruning, removals
from tests import records
from tests.api.conftest import KEY
from tests.api.servers import serving
from tests.api.test_files import PAIRS, error_of, jsonl, post, stored, uploaded

CONTENT = jsonl([{"prompt": f"{n}?", "chosen": "a", "rejected": "b"} for n in range(40)])
PART = 500
PARTS = [CONTENT[at : at + PART] for at in range(0, len(CONTENT), PART)]


@pytest.fixture
def real(client: TestClient, application: FastAPI) -> Iterator[openai.OpenAI]:
    """OpenAI's unmodified client on a server with a socket. It sends a request again if the server
    has just closed an idle connection.
    """
    with (
        serving(application, http="api.connections:Connection") as port,
        openai.OpenAI(api_key=KEY, base_url=f"http://127.0.0.1:{port}/v1") as found,
    ):
        yield found


def begin(client: TestClient, size_bytes: int = len(CONTENT), name: str = "a.jsonl") -> str:
    body = {
        "filename": name, "purpose": "fine-tune", "bytes": size_bytes,
        "mime_type": "application/jsonl",
    }  # fmt: skip
    return client.post("/v1/uploads", json=body).raise_for_status().json()["id"]


def send(client: TestClient, upload_id: str, data: bytes, **headers: str) -> Any:
    names = {name.replace("_", "-"): value for name, value in headers.items()}
    path = f"/v1/uploads/{upload_id}/parts"
    return client.post(path, files={"data": data}, headers=names)


def send_all(client: TestClient, upload_id: str) -> list[str]:
    return [send(client, upload_id, part).raise_for_status().json()["id"] for part in PARTS]


def complete(client: TestClient, upload_id: str, part_ids: list[str], **more: str) -> Any:
    return client.post(f"/v1/uploads/{upload_id}/complete", json={"part_ids": part_ids, **more})


def content_of(client: TestClient, file_id: str) -> bytes:
    return client.get(f"/v1/files/{file_id}/content").content


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
    assert done.expires_at - done.created_at == 3600
    assert done.file
    assert done.file.bytes == len(CONTENT)
    assert done.file.to_dict()["sha256"] == hashlib.sha256(CONTENT).hexdigest()
    assert real.files.content(done.file.id).read() == CONTENT
    work()
    assert real.files.retrieve(done.file.id).status == "processed"
    assert len(uploaded(tmp_path)) == 1  # the file: the parts are gone


def test_parts_in_parallel_in_any_order(real: openai.OpenAI) -> None:
    upload = real.uploads.create(
        bytes=len(CONTENT), filename="a.jsonl", mime_type="text/plain", purpose="fine-tune"
    )
    assert (upload.status, upload.file) == ("pending", None)

    def add(part: bytes) -> str:
        found = real.uploads.parts.create(upload.id, data=part)
        assert (found.object, found.upload_id) == ("upload.part", upload.id)
        return found.id

    with ThreadPoolExecutor(4) as pool:
        ids = list(pool.map(add, PARTS[::-1]))[::-1]
    done = real.uploads.complete(upload.id, part_ids=ids)
    assert done.file
    assert real.files.content(done.file.id).read() == CONTENT


def test_a_client_resumes_from_what_was_acknowledged(client: TestClient) -> None:
    upload = begin(client)
    first = [send(client, upload, part).json()["id"] for part in PARTS[:2]]
    page = client.get(f"/v1/uploads/{upload}/parts").json()
    known = [(part["id"], part["bytes"], part["sha256"]) for part in page["data"]]
    assert known == [
        (part_id, len(part), hashlib.sha256(part).hexdigest())
        for part_id, part in zip(first, PARTS, strict=False)
    ]
    following = client.get(f"/v1/uploads/{upload}/parts?limit=1&after={first[0]}").json()
    assert ([part["id"] for part in following["data"]], following["has_more"]) == (
        [first[1]],
        False,
    )
    rest = [send(client, upload, part).json()["id"] for part in PARTS[2:]]
    done = complete(client, upload, first + rest).json()
    assert content_of(client, done["file"]["id"]) == CONTENT
    assert client.get(f"/v1/uploads/{upload}").json() == done


def test_a_retried_part_is_stored_and_counted_once(
    client: TestClient, settings_from: Callable[..., None], tmp_path: Path
) -> None:
    """The retry gets an id of its own: a file may hold the same bytes twice."""
    settings_from(org_quota_bytes=20)
    upload = begin(client, 20)
    same = b'{"a": 12}\n'
    first = send(client, upload, same).json()["id"]
    again = send(client, upload, same, x_stainless_retry_count="1").json()
    assert again["id"] != first
    assert again["retry_of"] == first
    assert len(stored(tmp_path)) == 1
    # By the retry, a client sent the second part of a file whose parts are equal.
    done = complete(client, upload, [first, again["id"]]).json()
    assert content_of(client, done["file"]["id"]) == same * 2


def test_an_idempotency_key_means_one_part(client: TestClient, tmp_path: Path) -> None:
    upload = begin(client)
    key = {"Idempotency_Key": "one"}
    first, again = (send(client, upload, PARTS[0], **key).json() for _ in range(2))
    assert first == again
    assert len(stored(tmp_path)) == 1
    error = error_of(send(client, upload, PARTS[1], **key), 422)
    assert error["param"] == "Idempotency-Key"
    assert len(stored(tmp_path)) == 1


def test_wrong_parts_are_refused_and_leave_nothing(client: TestClient, tmp_path: Path) -> None:
    upload = begin(client, 10)
    path = f"/v1/uploads/{upload}/parts"
    assert error_of(send(client, upload, b""), 400)["param"] == "data"
    assert error_of(send(client, upload, b"x" * 11), 400)["param"] == "data"
    stated = client.post(path, files={"data": b"abc"}, data={"sha256": "0" * 64})
    assert error_of(stated, 400)["param"] == "sha256"
    assert error_of(client.post(path, files={"file": b"abc"}), 400)["param"] == "data"
    error_of(client.post(path, json={}), 400)
    large = client.post(path, files={"data": b"x" * (uploads.MAX_PART_BYTES + 1)})
    assert error_of(large, 413)["param"] == "data"
    assert error_of(send(client, "upload-none", b"x"), 404)["param"] == "upload_id"
    for n in range(2):
        send(client, upload, b"%d123456789" % n).raise_for_status()
    beyond = error_of(send(client, upload, b"more"), 400)
    assert "would have 24" in beyond["message"]
    sha256 = hashlib.sha256(b"0123456789").hexdigest()
    good = client.post(path, files={"data": b"0123456789"}, data={"sha256": sha256.upper()})
    good.raise_for_status()
    assert len(stored(tmp_path)) == 2


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


def test_columns_of_an_upload_are_those_of_its_file(
    client: TestClient, work: Callable[[], None]
) -> None:
    row = b'{"question": "Why?", "chosen": "Because.", "rejected": "No idea."}\n'
    body = {"filename": "a.jsonl", "purpose": "fine-tune", "bytes": len(row), "mime_type": "x"}
    for wrong, says in (
        ({"colour": "red"}, "`columns` names the field `colour`, which no row has."),
        ({"prompt": "a", "chosen": "a"}, "`columns` names the column `a` twice."),
        ({}, "Send `columns` as a JSON object"),
    ):
        error = error_of(client.post("/v1/uploads", json=body | {"columns": wrong}), 400)
        assert error["message"].startswith(says)
        assert error["param"] == "columns"
    columns = {"prompt": "question"}
    begun = client.post("/v1/uploads", json=body | {"columns": columns}).raise_for_status().json()
    part = send(client, begun["id"], row).raise_for_status().json()["id"]
    file = complete(client, begun["id"], [part]).raise_for_status().json()["file"]["id"]
    work()
    found = client.get(f"/v1/files/{file}").json()
    assert (found["status"], found["accepted"], found["columns"]) == ("processed", 1, columns)


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
    real = uploads.assemble

    def assemble(assembly: uploads.Assembly) -> Any:
        assembled.append(assembly)
        return real(assembly)

    def one(_: int) -> Any:
        barrier.wait()
        return complete(client, upload, ids).json()["file"]["id"]

    monkeypatch.setattr(uploads, "assemble", assemble)
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
    real = uploads.assemble

    def slowly(assembly: uploads.Assembly) -> Any:
        received = real(assembly)
        with database.engine().connect() as connection:
            connection.exec_driver_sql(
                "SELECT pg_terminate_backend(pid) FROM pg_locks WHERE locktype = 'advisory'"
            )
        monkeypatch.setattr(uploads, "assemble", real)
        complete(client, upload, ids).raise_for_status()
        return received

    monkeypatch.setattr(uploads, "assemble", slowly)
    late = complete(client, upload, ids).json()
    (file,) = client.get("/v1/files").json()["data"]
    assert late["file"]["id"] == file["id"]
    assert content_of(client, file["id"]) == CONTENT
    assert len(list((tmp_path / "storage" / "files").iterdir())) == 1


def test_a_cancelled_upload_takes_nothing_and_leaves_nothing(
    real: openai.OpenAI, client: TestClient, work: Callable[[], None], tmp_path: Path
) -> None:
    upload = begin(client)
    ids = send_all(client, upload)
    assert real.uploads.cancel(upload).status == "cancelled"
    assert real.uploads.cancel(upload).status == "cancelled"
    for late in (send(client, upload, PARTS[0]), complete(client, upload, ids)):
        assert "was cancelled" in error_of(late, 409)["message"]
        assert late.headers["x-should-retry"] == "false"
    work()
    assert stored(tmp_path) == []
    assert client.get(f"/v1/uploads/{upload}").json()["status"] == "cancelled"


def test_a_cancel_while_parts_are_assembled_wins(
    client: TestClient, monkeypatch: pytest.MonkeyPatch, tmp_path: Path, work: Callable[[], None]
) -> None:
    upload = begin(client)
    ids = send_all(client, upload)
    real = uploads.assemble

    def meanwhile(assembly: uploads.Assembly) -> Any:
        received = real(assembly)
        client.post(f"/v1/uploads/{upload}/cancel").raise_for_status()
        assert removals.remove_all() == 1  # the parts are being read
        return received

    monkeypatch.setattr(uploads, "assemble", meanwhile)
    error_of(complete(client, upload, ids), 409)
    work()
    assert stored(tmp_path) == []


def make_late(upload_id: str) -> None:
    with transaction() as session:
        session.execute(
            update(Upload).where(Upload.id == upload_id).values(expires_at=func.clock_timestamp())
        )


def test_an_upload_expires_and_its_parts_go(
    client: TestClient, settings_from: Callable[..., None], tmp_path: Path
) -> None:
    settings_from(upload_hours=2)
    upload, kept = begin(client), begin(client)
    ids = send_all(client, upload)
    send(client, kept, PARTS[0]).raise_for_status()
    found = client.get(f"/v1/uploads/{upload}").json()
    assert found["expires_at"] - found["created_at"] == 7200
    with transaction() as session:
        assert not removals.pending(session)
    make_late(upload)
    assert client.get(f"/v1/uploads/{upload}").json()["status"] == "expired"
    for late in (send(client, upload, PARTS[0]), complete(client, upload, ids)):
        assert "has expired" in error_of(late, 409)["message"]
    assert len(pruning.plan()) == len(PARTS)
    with transaction() as session:
        assert removals.pending(session)
    assert removals.remove_all() == 0
    assert len(stored(tmp_path)) == 1
    with transaction() as session:
        assert not removals.pending(session)
        assert session.scalars(select(UploadPart.upload_id)).all() == [kept]
        actions = select(AuditEntry.action).where(AuditEntry.object_id == upload)
        assert session.scalars(actions.order_by(AuditEntry.at)).all() == ["created", "pruned"]
        old = func.clock_timestamp() - uploads.KEPT
        session.execute(update(Upload).where(Upload.id == upload).values(erased_at=old))
    with transaction() as session:
        uploads.forget_old(session)
    assert client.get(f"/v1/uploads/{upload}").status_code == 404


def test_one_that_becomes_late_while_it_is_completed_is_completed(
    client: TestClient, monkeypatch: pytest.MonkeyPatch
) -> None:
    upload = begin(client)
    ids = send_all(client, upload)
    real = uploads.assemble

    def slowly(assembly: uploads.Assembly) -> Any:
        make_late(upload)
        assert removals.remove_all() == 1
        return real(assembly)

    monkeypatch.setattr(uploads, "assemble", slowly)
    assert complete(client, upload, ids).json()["status"] == "completed"


def test_pending_parts_count_for_the_quota(
    client: TestClient, settings_from: Callable[..., None], work: Callable[[], None]
) -> None:
    settings_from(org_quota_bytes=100)
    upload, second = begin(client, 60), begin(client, 60)
    part = send(client, upload, b"1" * 60).json()["id"]
    error = error_of(send(client, second, b"2" * 60), 413)
    assert (error["param"], error["code"]) == ("data", "quota_exceeded")
    assert error_of(post(client, b"x" * 60), 413)["code"] == "quota_exceeded"
    complete(client, upload, [part]).raise_for_status()  # needs no room beside its parts
    assert error_of(post(client, b"x" * 60), 413)["code"] == "quota_exceeded"
    send(client, second, b"3" * 40).raise_for_status()
    client.post(f"/v1/uploads/{second}/cancel").raise_for_status()
    post(client, b"x" * 40).raise_for_status()


def test_equal_files_are_stored_once_and_go_one_by_one(
    client: TestClient, work: Callable[[], None], stranger: str, tmp_path: Path
) -> None:
    def on_disk() -> list[Path]:
        return uploaded(tmp_path)

    first = post(client, CONTENT).json()["id"]
    second = post(client, CONTENT, "other.jsonl").json()["id"]
    upload = begin(client)
    third = complete(client, upload, send_all(client, upload)).json()["file"]["id"]
    work()
    assert len({first, second, third}) == 3
    assert len(on_disk()) == 1
    # Another organisation has bytes of its own.
    theirs = {"Authorization": f"Bearer {stranger}"}
    form = {"files": {"file": ("a.jsonl", CONTENT)}, "data": {"purpose": "fine-tune"}}
    client.post("/v1/files", headers=theirs, **form).raise_for_status()
    assert len(on_disk()) == 2
    for gone, left in ((second, [first, third]), (first, [third])):
        client.delete(f"/v1/files/{gone}").raise_for_status()
        work()
        assert len(on_disk()) == 2
        for file in left:
            assert content_of(client, file) == CONTENT
            assert client.get(f"/v1/files/{file}/rows").json()["total"] == 40
    client.delete(f"/v1/files/{third}").raise_for_status()
    work()
    assert len(on_disk()) == 1
    assert client.get(f"/v1/uploads/{upload}").status_code == 404  # its row names the file


def test_a_file_whose_bytes_are_lost_shares_nothing(client: TestClient, tmp_path: Path) -> None:
    post(client, CONTENT).raise_for_status()
    (lost,) = stored(tmp_path)
    lost.unlink()
    again = post(client, CONTENT).json()["id"]
    assert content_of(client, again) == CONTENT


def test_a_damaged_part_is_not_put_into_a_file(client: TestClient, tmp_path: Path) -> None:
    upload = begin(client)
    ids = send_all(client, upload)
    for path in stored(tmp_path)[:1]:
        path.write_bytes(bytes([path.read_bytes()[0] ^ 1]) + path.read_bytes()[1:])
    assert error_of(complete(client, upload, ids), 409)["code"] == "part_damaged"
    assert client.get("/v1/files").json()["data"] == []


def test_parts_of_pending_uploads_are_no_leftovers(
    client: TestClient, monkeypatch: pytest.MonkeyPatch
) -> None:
    send(client, begin(client), PARTS[0]).raise_for_status()
    orphan = "parts/part-0123456789abcdef01234567"
    with storage.writing(orphan) as sink:
        sink.write(b"of an API that was killed")
    monkeypatch.setattr(leftovers, "DAY_S", -60.0)
    (found,) = leftovers.listed()
    assert str(found.path).endswith(orphan)


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
