"""Parts of uploads: in any order, again, wrong, and too many."""

import hashlib
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import openai
import pytest
from fastapi.testclient import TestClient

from services.files import upload_parts
from services.platform import storage
from services.upkeep import leftovers
from tests.api.sent_files import content_of, error_of, post, stored
from tests.api.sent_parts import CONTENT, PARTS, begin, complete, send


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
    large = client.post(path, files={"data": b"x" * (upload_parts.MAX_PART_BYTES + 1)})
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
