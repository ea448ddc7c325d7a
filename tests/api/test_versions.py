"""Versions of files: made by recipes, named by their parents, exported in other shapes."""

import hashlib
from collections.abc import Callable
from typing import Any

import numpy as np
import pytest
from fastapi.testclient import TestClient

from models import File
from orpo.audit import found
from orpo.audit.found import Named
from services.files import versions
from services.files.keys import keys_of
from services.platform import storage
from services.platform.database import transaction
from services.platform.settings import get_settings
from services.upkeep import removals
from tests.api.made_versions import DROP, PAIRS, SWAP, make, parent, quick, show
from tests.api.sent_files import error_of, jsonl, post
from workers import files as file_tasks
from workers import versions as version_tasks

__all__ = ["parent", "quick"]


def test_a_version_is_a_file_that_names_its_parent_and_its_recipe(
    client: TestClient, work: Callable[[], None], parent: str
) -> None:
    answer = make(client, parent, DROP, SWAP).raise_for_status().json()
    (made,) = answer["data"]
    assert (answer["object"], answer["has_more"]) == ("list", False)
    assert (made["status"], made["sha256"], made["bytes"]) == ("uploaded", "", 0)
    error_of(client.get(f"/v1/files/{made['id']}/content"), 409)
    work()
    done = show(client, made["id"])
    assert (done["status"], done["accepted"], done["rows"]) == ("processed", 4, 4)
    assert done["filename"] == "pairs-version.jsonl"
    assert done["parents"] == [{"id": parent, "sha256": show(client, parent)["sha256"]}]
    assert done["recipe"] == [DROP, SWAP | {"finding": None, "audits": None}]
    content = client.get(f"/v1/files/{made['id']}/content").content
    assert (len(content), hashlib.sha256(content).hexdigest()) == (done["bytes"], done["sha256"])
    rows = client.get(f"/v1/files/{made['id']}/rows").json()["data"]
    assert [row["from"] for row in rows] == [
        {"file_id": parent, "line": line} for line in (2, 4, 5, 6)
    ]
    assert rows[0]["chosen"][0]["content"] == "I could not say."
    listed = client.get(f"/v1/files/{parent}/versions").raise_for_status().json()
    assert [file["id"] for file in listed["data"]] == [made["id"]]
    upload = show(client, parent)
    assert (upload["parents"], upload["recipe"]) == ([], None)
    assert client.get(f"/v1/files/{parent}/rows").json()["data"][0].get("from") is None


def test_the_stored_recipe_gives_the_same_bytes(
    client: TestClient, work: Callable[[], None], parent: str
) -> None:
    steps = [{"step": "balance", "seed": 7}, {"step": "sample", "n": 4, "seed": 1}]
    other = [{"step": "sample", "n": 4, "seed": 1}, {"step": "deduplicate", "by": "prompt"}]
    first = make(client, parent, *other).json()["data"][0]["id"]
    work()
    again = make(client, parent, *show(client, first)["recipe"]).json()["data"][0]["id"]
    work()
    assert show(client, again)["sha256"] == show(client, first)["sha256"]
    nothing = make(client, parent, *steps).json()["data"][0]["id"]
    work()
    assert show(client, nothing)["status"] == "error"  # the longer answer never wins


def test_a_split_makes_two_files(client: TestClient, work: Callable[[], None], parent: str) -> None:
    split = {"step": "split", "held_out": 0.34}
    training, held_out = make(client, parent, split, filename="mine.jsonl").json()["data"]
    work()
    names = [(show(client, each["id"])["filename"], show(client, each["id"])["accepted"])
             for each in (training, held_out)]  # fmt: skip
    assert names == [("mine-training.jsonl", 4), ("mine-held_out.jsonl", 2)]
    assert training["recipe"][0]["part"] == "training"
    prompts = [
        {
            row["prompt"][0]["content"]
            for row in client.get(f"/v1/files/{each['id']}/rows").json()["data"]
        }
        for each in (training, held_out)
    ]
    assert not prompts[0] & prompts[1]


def test_a_mix_names_all_parents(client: TestClient, work: Callable[[], None], parent: str) -> None:
    other = post(client, jsonl(PAIRS[:2]), "b.jsonl").json()["id"]
    mix = {"step": "mix", "files": [{"file_id": other, "weight": 2}]}
    error = error_of(make(client, parent, mix), 409)
    assert error["param"] == "recipe.0.files"
    work()
    made = make(client, parent, mix).json()["data"][0]["id"]
    work()
    done = show(client, made)
    assert ([each["id"] for each in done["parents"]], done["accepted"]) == ([parent, other], 10)
    assert [each["id"] for each in client.get(f"/v1/files/{other}/versions").json()["data"]] == [
        made
    ]


def test_a_parent_can_go_once_the_version_is_made(
    client: TestClient, work: Callable[[], None], parent: str
) -> None:
    made = make(client, parent, DROP).json()["data"][0]["id"]
    error = error_of(client.delete(f"/v1/files/{parent}"), 409)
    assert error["code"] == "file_in_use"
    work()
    client.delete(f"/v1/files/{parent}").raise_for_status()
    removals.remove_all()
    assert show(client, made)["parents"][0]["id"] == parent
    assert len(client.get(f"/v1/files/{made}/rows").json()["data"]) == 4
    error_of(client.get(f"/v1/files/{parent}/versions"), 404)
    client.delete(f"/v1/files/{made}").raise_for_status()
    removals.remove_all()
    with transaction() as session:
        erased = session.get_one(File, made)
        assert (erased.recipe, erased.filename) == (None, "")


def test_files_that_no_version_can_be_made_of(
    client: TestClient, work: Callable[[], None], stranger: str
) -> None:
    file_id = post(client, jsonl(PAIRS)).json()["id"]
    assert error_of(make(client, file_id, DROP), 409)["code"] == "file_not_ready"
    work()
    error_of(make(client, "file-none", DROP), 404)
    mix = {"step": "mix", "files": [{"file_id": "file-none"}]}
    assert error_of(make(client, file_id, mix), 404)["param"] == "recipe.0.files"
    theirs = {"Authorization": f"Bearer {stranger}"}
    for path in ("versions", "versions/preview"):
        body = {"recipe": [DROP]}
        answer = client.post(f"/v1/files/{file_id}/{path}", json=body, headers=theirs)
        error_of(answer, 404)
    error_of(client.get(f"/v1/files/{file_id}/versions", headers=theirs), 404)
    error_of(client.get(f"/v1/files/{file_id}/export", headers=theirs), 404)
    bad = post(client, b"{}\n").json()["id"]
    work()
    error_of(make(client, bad, DROP), 409)


def test_a_version_whose_worker_died_is_made_again(
    client: TestClient, work: Callable[[], None], parent: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    made = make(client, parent, DROP).json()["data"][0]["id"]

    class Killed(BaseException):
        pass

    def dies(*_: Any, **__: Any) -> None:
        raise Killed

    with monkeypatch.context() as patch:
        patch.setattr(file_tasks, "read", dies)
        with pytest.raises(Killed):
            file_tasks.judge(made)
    before = show(client, made)
    assert (before["status"], before["sha256"] != "") == ("uploaded", True)
    with monkeypatch.context() as patch:
        # Its bytes are there: they are not made a second time.
        patch.setattr(versions, "make", dies)
        file_tasks.judge(made)
    assert show(client, made)["status"] == "processed"
    other = make(client, parent, DROP).json()["data"][0]["id"]
    with monkeypatch.context() as patch:
        patch.setattr(version_tasks.versions, "finish_making", dies)
        for _ in range(get_settings().max_attempts):
            with pytest.raises(Killed):
                file_tasks.judge(other)
    file_tasks.judge(other)
    assert show(client, other)["status"] == "error"


def assert_no_bytes(file_id: str) -> None:
    with transaction() as session:
        key = session.get_one(File, file_id).storage_key
    with pytest.raises(FileNotFoundError):
        storage.reading(key)


def test_a_version_that_is_too_large_leaves_no_bytes(
    client: TestClient, work: Callable[[], None], parent: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    small = get_settings().model_copy(update={"max_upload_bytes": 50})
    monkeypatch.setattr(versions, "get_settings", lambda: small)
    made = make(client, parent, DROP).json()["data"][0]["id"]
    work()
    assert "more than the 50 bytes" in show(client, made)["status_details"]
    assert_no_bytes(made)


def test_a_version_beyond_the_quota_is_not_kept(
    client: TestClient, work: Callable[[], None], parent: str, settings_from: Callable[..., None]
) -> None:
    settings_from(org_quota_bytes=show(client, parent)["bytes"] + 50)
    made = make(client, parent, DROP).json()["data"][0]["id"]
    work()
    assert "bytes that it may" in show(client, made)["status_details"]
    assert_no_bytes(made)


def test_rows_of_findings_lie_beside_the_accepted_rows(
    client: TestClient, work: Callable[[], None], parent: str
) -> None:
    with storage.writing_path(keys_of(parent).audit) as path:
        found.write(path, {"whitespace": Named(np.array([0, 4], np.uint32))})
    made = make(client, parent, {"step": "drop", "finding": "whitespace"}).json()["data"][0]["id"]
    work()
    rows = client.get(f"/v1/files/{made}/rows").json()["data"]
    assert [row["from"]["line"] for row in rows] == [2, 3, 4, 6]
