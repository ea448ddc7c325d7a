"""`oddsmith files upload` of a large file: in parts, continued where an attempt has stopped."""

import hashlib
import json
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from cli.client import uploads
from tests.cli.conftest import Oddsmith
from tests.cli.fake_api import FILE, FakeApi, Request, error, listed

CONTENT = b'{"prompt": "a"}\n' * 3  # three equal parts
UPLOAD: dict[str, Any] = {
    "id": "upload-1", "bytes": len(CONTENT), "filename": "pairs.jsonl", "status": "pending",
    "purpose": "fine-tune",
    "file": None,
}  # fmt: skip


@pytest.fixture
def path(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A file of three parts; no pause before a part is sent again."""
    monkeypatch.setenv("XDG_STATE_HOME", str(tmp_path / "state"))
    monkeypatch.setattr(uploads, "ABOVE_BYTES", 20)
    monkeypatch.setattr(uploads, "PART_BYTES", 16)
    monkeypatch.setattr(uploads, "PAUSES_S", (0, 0))
    found = tmp_path / "pairs.jsonl"
    found.write_bytes(CONTENT)
    return found


class Parts:
    """Takes parts, but answers the calls of `away` with 503."""

    def __init__(self, api: FakeApi, away: tuple[int, ...] = ()) -> None:
        self.stored: list[dict[str, Any]] = []
        self.calls, self.away, self.keys = 0, away, list[str]()
        api.on("POST /v1/uploads", UPLOAD)
        api.on("GET /v1/uploads/upload-1", UPLOAD)
        api.on("GET /v1/uploads/upload-1/parts", lambda _: listed(*self.stored))
        api.on("POST /v1/uploads/upload-1/parts", self.take)
        api.on("POST /v1/uploads/upload-1/complete", self.complete)
        self.completed: dict[str, Any] = {}

    def take(self, request: Request) -> Any:
        self.calls += 1
        self.keys.append(request.headers["idempotency-key"])
        if self.calls in self.away:
            return 503, error("Try again.", None)
        sha256 = hashlib.sha256(CONTENT[:16]).hexdigest()
        assert CONTENT[:16] in request.body
        assert sha256.encode() in request.body
        part = {"id": f"part-{self.calls}", "sha256": sha256, "bytes": 16}
        self.stored.append(part)
        return part

    def complete(self, request: Request) -> Any:
        self.completed = request.json
        return {**UPLOAD, "status": "completed", "file": {**FILE, "status": "uploaded"}}


def remembered(tmp_path: Path) -> list[Path]:
    return [found for found in (tmp_path / "state").rglob("*") if found.is_file()]


@pytest.fixture
def state(tmp_path: Path) -> Iterator[Path]:
    yield tmp_path
    assert remembered(tmp_path) == []


def test_a_large_file_is_sent_in_parts_and_a_lost_part_again(
    api: FakeApi, oddsmith: Oddsmith, path: Path, state: Path
) -> None:
    parts = Parts(api, away=(2,))
    result = oddsmith("files", "upload", str(path), "--json")
    assert (result.exit_code, json.loads(result.stdout)["id"]) == (0, "file-1")
    md5 = hashlib.md5(CONTENT).hexdigest()
    assert parts.completed == {"part_ids": ["part-1", "part-3", "part-4"], "md5": md5}
    first, lost, again, last = parts.keys
    assert lost == again
    assert len({first, lost, last}) == 3
    (announced,) = api.sent("POST", "/v1/uploads")
    assert announced.json["bytes"] == len(CONTENT)


def test_the_same_command_goes_on_with_what_has_arrived(
    api: FakeApi, oddsmith: Oddsmith, path: Path, state: Path
) -> None:
    parts = Parts(api, away=(3, 4, 5))
    result = oddsmith("files", "upload", str(path))
    assert result.exit_code == 3
    assert f"oddsmith files upload {path} --resume upload-1" in result.stderr.replace("\n", " ")
    assert len(remembered(state)) == 1
    parts.away = ()
    assert oddsmith("files", "upload", str(path)).exit_code == 0
    assert parts.completed["part_ids"] == ["part-1", "part-2", "part-6"]
    assert len(api.sent("POST", "/v1/uploads")) == 1


def test_resume_names_an_upload_of_this_file(
    api: FakeApi, oddsmith: Oddsmith, path: Path, state: Path
) -> None:
    parts = Parts(api)
    assert oddsmith("files", "upload", str(path), "--resume", "upload-1").exit_code == 0
    assert not api.sent("POST", "/v1/uploads")
    assert len(parts.stored) == 3
    for wrong in ({"status": "expired"}, {"bytes": 5}):
        api.on("GET /v1/uploads/upload-1", {**UPLOAD, **wrong})
        result = oddsmith("files", "upload", str(path), "--resume", "upload-1")
        assert result.exit_code == 4
        assert "can't be continued" in result.stderr


def test_a_remembered_upload_that_has_ended_is_begun_again(
    api: FakeApi, oddsmith: Oddsmith, path: Path, state: Path
) -> None:
    parts = Parts(api, away=(1, 2, 3))
    assert oddsmith("files", "upload", str(path)).exit_code == 3
    api.on("GET /v1/uploads/upload-1", {**UPLOAD, "status": "expired"})
    assert oddsmith("files", "upload", str(path)).exit_code == 0
    assert len(api.sent("POST", "/v1/uploads")) == 2
    assert len(parts.stored) == 3
