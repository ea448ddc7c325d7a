"""Row 18: uploads in parts: the API is killed, two clients write one, parts are wrong."""

import hashlib
import json
import socket
import threading
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager
from pathlib import Path
from typing import Any
from urllib.parse import urlsplit

import httpx
import pytest

from tests.e2e.wait import wait_for
from tests.faults.stack import Stack

pytestmark = [pytest.mark.stack, pytest.mark.faults, pytest.mark.timeout(300)]

ROW = {"prompt": "p" * 100_000, "chosen": "a", "rejected": "b"}
CONTENT = "".join(json.dumps({**ROW, "id": n}) + "\n" for n in range(60)).encode()
SHA256 = hashlib.sha256(CONTENT).hexdigest()
PART = 2**20
PARTS = [CONTENT[at : at + PART] for at in range(0, len(CONTENT), PART)]


def begin(http: httpx.Client) -> str:
    body = {"filename": "a.jsonl", "purpose": "fine-tune", "bytes": len(CONTENT), "mime_type": "x"}
    return http.post("/v1/uploads", json=body).raise_for_status().json()["id"]


def send(http: httpx.Client, upload: str, part: bytes, **stated: str) -> httpx.Response:
    return http.post(f"/v1/uploads/{upload}/parts", files={"data": part}, data=stated)


def acknowledged(http: httpx.Client, upload: str) -> list[dict[str, Any]]:
    return http.get(f"/v1/uploads/{upload}/parts").raise_for_status().json()["data"]


def complete(http: httpx.Client, upload: str, part_ids: list[str]) -> httpx.Response:
    return http.post(f"/v1/uploads/{upload}/complete", json={"part_ids": part_ids})


def send_all(http: httpx.Client, upload: str) -> list[str]:
    return [send(http, upload, part).raise_for_status().json()["id"] for part in PARTS]


def partial(stack: Stack, folder: str) -> list[Path]:
    """Files that are being written, and have bytes."""
    found = (stack.folder.path / "storage" / folder).glob("*.part")
    return [path for path in found if path.stat().st_size]


@contextmanager
def half_a_part(stack: Stack, upload: str) -> Iterator[None]:
    """Send half of a part, and no more, within the block."""
    address = urlsplit(stack.url)
    form = b'--b\r\nContent-Disposition: form-data; name="data"; filename="x"\r\n\r\n'
    head = (
        f"POST /v1/uploads/{upload}/parts HTTP/1.1\r\nHost: x\r\nContent-Length: {8 * PART}\r\n"
        f"Authorization: Bearer {stack.key}\r\n"
        "Content-Type: multipart/form-data; boundary=b\r\n\r\n"
    )
    with socket.create_connection((address.hostname, address.port or 80)) as sending:
        sending.sendall(head.encode() + form + CONTENT[: 3 * PART])
        wait_for(lambda: partial(stack, "parts"), 30, stack.logs)
        yield


def check_file(stack: Stack, http: httpx.Client, file: dict[str, Any]) -> None:
    """Fail unless the file is whole, and the only one of these bytes."""
    content = http.get(f"/v1/files/{file['id']}/content").raise_for_status().content
    assert hashlib.sha256(content).hexdigest() == file["sha256"] == SHA256
    assert len(rows_of(stack)) == 1


def rows_of(stack: Stack) -> list[dict[str, Any]]:
    return stack.rows("SELECT id FROM files WHERE sha256 = %s AND deleted_at IS NULL", SHA256)


@pytest.fixture(autouse=True)
def nothing_left(stack: Stack) -> Iterator[None]:
    yield
    stack.heal_programs()
    with stack.http() as http:
        for row in rows_of(stack):
            http.delete(f"/v1/files/{row['id']}").raise_for_status()


def test_row_18_an_api_that_is_killed_in_an_upload(stack: Stack, seen):
    """SIGKILL to the API in the middle of a part, then in the middle of a completion.

    Passes when the client resumes from the parts that were acknowledged, no half of anything has a
    row, and the file's sha256 is that of what was sent. Guard: a part has its name and its row only
    once it is whole and synced; parts stay until the file that is made of them has its row.
    """
    with stack.http() as http:
        upload = begin(http)
        first = [send(http, upload, part).raise_for_status().json()["id"] for part in PARTS[:2]]
        with half_a_part(stack, upload):
            stack["api"].kill()
    stack.restart("api", "slow_blocks")
    with stack.http() as http:
        known = acknowledged(http, upload)
        assert [part["id"] for part in known] == first
        ids = first + [send(http, upload, part).json()["id"] for part in PARTS[2:]]
        with ThreadPoolExecutor(1) as pool:
            lost = pool.submit(complete, http, upload, ids)
            wait_for(lambda: partial(stack, "files"), 30, stack.logs, interval_s=0.02)
            stack["api"].kill()
            with pytest.raises(httpx.TransportError):
                lost.result()
    assert rows_of(stack) == []
    stack.restart("api")
    with stack.http() as http:
        assert [part["id"] for part in acknowledged(http, upload)] == ids
        done = complete(http, upload, ids).raise_for_status().json()
        check_file(stack, http, done["file"])
        again = complete(http, upload, ids).raise_for_status().json()
    assert again["file"]["id"] == done["file"]["id"]
    seen(f"went on from {len(first)} and from {len(ids)} parts, the same sha256, one file")


def complete_at_once(stack: Stack, upload: str, lists: list[list[str]]) -> list[httpx.Response]:
    barrier = threading.Barrier(len(lists))

    def one(part_ids: list[str]) -> httpx.Response:
        with stack.http() as http:
            http.get("/healthz")  # the connection is open before the race begins
            barrier.wait()
            return complete(http, upload, part_ids)

    with ThreadPoolExecutor(len(lists)) as pool:
        return list(pool.map(one, lists))


def sent_by_two(stack: Stack, upload: str) -> list[list[str]]:
    """Let two clients send all parts at the same time; returns the ids that each got."""

    def writer(_: int) -> list[str]:
        with stack.http() as http:
            return send_all(http, upload)

    with ThreadPoolExecutor(2) as pool:
        return list(pool.map(writer, range(2)))


def test_row_18_two_writers_of_an_upload(stack: Stack, seen):
    """Two clients send all parts of an upload and complete it at once, each with its own list.

    Passes when one completes it and the other gets 409, which its client does not retry; and when
    eight requests with one list get one file. Guard: the lock of a completion, and the upload's
    row, which is read again, locked, when the file is registered.
    """
    with stack.http() as http:
        upload = begin(http)
    answers = complete_at_once(stack, upload, sent_by_two(stack, upload))
    statuses = sorted(answer.status_code for answer in answers)
    assert statuses == [200, 409]
    won, refused = sorted(answers, key=lambda answer: answer.status_code)
    assert refused.headers["x-should-retry"] == "false"
    assert won.json()["file"]["id"] in refused.json()["error"]["message"]
    with stack.http() as http:
        check_file(stack, http, won.json()["file"])
        http.delete(f"/v1/files/{won.json()['file']['id']}").raise_for_status()
        upload = begin(http)
        ids = send_all(http, upload)
        equal = complete_at_once(stack, upload, [ids] * 8)
        files = {answer.raise_for_status().json()["file"]["id"] for answer in equal}
        assert len(files) == 1
        check_file(stack, http, equal[0].json()["file"])
    seen("one file and one 409; eight equal requests, one file")


def test_row_18_needs_the_upload_s_row(stack: Stack, seen):
    """The same, and a completion does not look whether the upload was completed before."""
    stack.restart("api", "completed_once", "upload_state")
    with stack.http() as http:
        upload = begin(http)
        ids = send_all(http, upload)
    complete_at_once(stack, upload, [ids] * 2)
    count = len(rows_of(stack))
    assert count > 1
    seen(f"without it there were {count} files")


def test_row_18_a_wrong_part(stack: Stack, seen):
    """Parts that differ from their sha256, are of another upload, or are damaged on the disk.

    Passes when each is refused, no file is made, and the upload can be completed with the right
    parts. Guard: the hash of each part, checked when it arrives and when it is read again.
    """
    with stack.http() as http:
        upload, other = begin(http), begin(http)
        ids = send_all(http, upload)
        wrong = send(http, upload, b"x" * PART, sha256=hashlib.sha256(PARTS[0]).hexdigest())
        theirs = send(http, other, PARTS[0]).json()["id"]
        swapped = complete(http, upload, [theirs, *ids[1:]])
        statuses = [wrong.status_code, swapped.status_code]
        md5 = hashlib.md5(CONTENT).hexdigest()
        turned = {"part_ids": [*ids[1::-1], *ids[2:]], "md5": md5}
        statuses.append(http.post(f"/v1/uploads/{upload}/complete", json=turned).status_code)
        path = stack.folder.path / "storage" / "parts" / ids[0]
        path.write_bytes(b"!" + PARTS[0][1:])
        damaged = complete(http, upload, ids)
        statuses.append(damaged.status_code)
        assert statuses == [400, 400, 400, 409]
        assert damaged.json()["error"]["code"] == "part_damaged"
        assert rows_of(stack) == []
        path.write_bytes(PARTS[0])
        check_file(stack, http, complete(http, upload, ids).raise_for_status().json()["file"])
    seen("400 for a wrong sha256, part or order, 409 for a damaged part; then one whole file")
