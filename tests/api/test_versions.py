"""Versions of files: made by recipes, named by their parents, exported in other shapes."""

import gzip
import hashlib
import io
import json
from collections.abc import Callable
from contextlib import redirect_stderr, redirect_stdout
from importlib import import_module
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from fastapi.testclient import TestClient

from models import File
from orpo.audit import found
from orpo.audit.found import Named
from services.files import progress, versions
from services.files.keys import keys_of
from services.platform import storage
from services.platform.database import transaction
from services.platform.settings import get_settings
from services.processes.verbs import VerbError
from services.upkeep import removals
from tests.api.sent_files import error_of, jsonl, post
from workers import files as file_tasks
from workers import versions as version_tasks

PAIRS = [
    {"prompt": f"Question {n}?", "chosen": "Yes.", "rejected": "I could not say."} for n in range(6)
]
WITH_PROCESSES = "test_a_version_is_a_file_that_names_its_parent_and_its_recipe"
SWAP = {"step": "swap", "lines": [2]}
DROP = {"step": "drop_rows", "lines": [1, 3]}


def in_this_process(verb: str, *arguments: str, **_: Any) -> dict[str, Any]:
    """`run_verb` without the second that a process takes. The first test has real processes."""
    given: list[Any] = [Path(each) if each.startswith("/") else each for each in arguments]
    if verb == "audit":
        raise VerbError({"code": "internal", "message": "Other tests audit files."})
    if verb == "make":
        given = [*given, None][:2]
    with redirect_stdout(io.StringIO()) as printed, redirect_stderr(io.StringIO()):
        import_module(f"orpo.{verb}").main(*given)
    answer = json.loads(printed.getvalue().splitlines()[-1])
    if "error" in answer:
        raise VerbError(answer["error"])
    return answer


@pytest.fixture(autouse=True)
def quick(request: pytest.FixtureRequest, monkeypatch: pytest.MonkeyPatch) -> None:
    if request.node.name != WITH_PROCESSES:
        for module in (versions, file_tasks):
            monkeypatch.setattr(module, "run_verb", in_this_process)


@pytest.fixture
def parent(client: TestClient, work: Callable[[], None]) -> str:
    file_id = post(client, jsonl(PAIRS), "pairs.jsonl").json()["id"]
    work()
    return file_id


def make(client: TestClient, file_id: str, *steps: dict[str, Any], **more: Any) -> Any:
    return client.post(f"/v1/files/{file_id}/versions", json={"recipe": list(steps), **more})


def show(client: TestClient, file_id: str) -> dict[str, Any]:
    return client.get(f"/v1/files/{file_id}").raise_for_status().json()


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


REFUSED: list[tuple[Any, str]] = [
    ([{"step": "filter", "field": "any", "matches": "("}], "recipe.0.matches"),
    ([{"step": "filter", "field": "any"}], "recipe.0"),
    ([SWAP, {"step": "mix", "files": [{"file_id": "file-1"}]}], "recipe.1"),
    ([{"step": "edit", "line": 1, "chosen": "x" * 100_000}] * 2, "recipe"),
    ([{"step": "other"}], "recipe.0"),
    ([SWAP, {"lines": [1]}], "recipe.1.step"),
    ([SWAP, {**DROP, "more": 1}], "recipe.1.more"),
    ([{"step": "swap", "lines": [0]}], "recipe.0.lines.0"),
    ([{"step": "map", "action": "strip", "text": "x"}], "recipe.0"),
    (
        [SWAP, {"step": "map", "action": "replace", "pattern": "(a)", "replacement": r"\2"}],
        "recipe.1.pattern",
    ),
    ([{"step": "repair", "finding": "cut"}], "recipe.0"),
    ([{"step": "language", "languages": ["xx"]}], "recipe.0"),
    ([], "recipe"),
    (None, "recipe"),
]


@pytest.mark.parametrize(("steps", "param"), REFUSED)
@pytest.mark.parametrize("path", ["versions", "versions/preview"])
def test_what_is_no_recipe_is_refused(
    client: TestClient, parent: str, steps: Any, param: str, path: str
) -> None:
    error = error_of(client.post(f"/v1/files/{parent}/{path}", json={"recipe": steps}), 400)
    assert error["param"].startswith(param)


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


@pytest.mark.parametrize(
    ("step", "sentence"),
    [
        ({"step": "drop_rows", "lines": [1, 2, 3, 4, 5, 6]}, "Step 1 (drop_rows) leaves no row"),
        ({"step": "swap", "lines": [9]}, "Step 1 (swap): line 9 of file-"),
        (
            {"step": "deduplicate", "by": "near"},
            "Step 1 (deduplicate): the rows of findings",
        ),
    ],
)
def test_a_recipe_that_does_not_fit_ends_in_an_error_with_a_sentence(
    client: TestClient, work: Callable[[], None], parent: str, step: dict[str, Any], sentence: str
) -> None:
    made = make(client, parent, step).json()["data"][0]["id"]
    work()
    done = show(client, made)
    assert done["status"] == "error"
    assert sentence in done["status_details"]
    error_of(client.get(f"/v1/files/{made}/content"), 409)
    if step["step"] != "drop_rows":
        body = {"recipe": [step]}
        error = error_of(client.post(f"/v1/files/{parent}/versions/preview", json=body), 400)
        assert sentence in error["message"]
        assert error["param"].startswith("recipe.0")


def test_a_preview_of_rows_that_are_gone_is_a_conflict(client: TestClient, parent: str) -> None:
    storage.delete(keys_of(parent).rows)
    answer = client.post(f"/v1/files/{parent}/versions/preview", json={"recipe": [SWAP]})
    assert error_of(answer, 409)["param"] == "recipe"


def test_a_preview_stores_nothing(client: TestClient, parent: str) -> None:
    body = {"recipe": [DROP, SWAP]}
    found = client.post(f"/v1/files/{parent}/versions/preview", json=body).raise_for_status().json()
    assert [(step["rows_before"], step["rows_after"]) for step in found["steps"]] == [
        (6, 4),
        (4, 4),
    ]
    assert found["steps"][1]["changed"][0]["after"]["chosen"][0]["content"] == "I could not say."
    assert (found["exact"], found["rows_read"], found["held_out"]) == (True, 6, None)
    assert client.get(f"/v1/files/{parent}/versions").json()["data"] == []


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


@pytest.mark.parametrize(
    "shape", ["explicit", "openai", "implicit", "sharegpt", "ranked", "hh_rlhf"]
)
def test_an_export_that_is_uploaded_has_the_same_pairs(
    client: TestClient, work: Callable[[], None], parent: str, shape: str
) -> None:
    answer = client.get(f"/v1/files/{parent}/export", params={"shape": shape})
    assert f"pairs-{shape}.jsonl" in answer.headers["content-disposition"]
    again = post(client, answer.content, "again.jsonl").json()["id"]
    work()
    assert client.get(f"/v1/files/{again}/report").json()["shapes"] == {shape: 6}
    data = [client.get(f"/v1/files/{each}/rows").json()["data"] for each in (parent, again)]
    assert data[0] == data[1]


def test_containers_of_exports(client: TestClient, parent: str) -> None:
    path = f"/v1/files/{parent}/export"
    lines = gzip.decompress(client.get(path, params={"container": "jsonl.gz"}).content)
    assert json.loads(lines.splitlines()[0])["prompt"][0]["content"] == "Question 0?"
    assert client.get(path, params={"container": "parquet"}).content[:4] == b"PAR1"
    csv = {"container": "csv", "shape": "openai"}
    assert error_of(client.get(path, params=csv), 400)["param"] == "container"
    told = {"shape": "messages"}
    error = error_of(client.get(path, params=told), 400)
    assert (error["param"], "line 1" in error["message"]) == ("shape", True)
    for unknown in ("x", "thumbs"):
        error = error_of(client.get(path, params={"shape": unknown}), 400)
        assert error["message"].startswith("`shape`: Input should be 'explicit', 'openai', ")
        assert error["param"] == "shape"


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


def test_a_file_says_how_far_it_is_while_it_is_made_and_validated(
    client: TestClient, work: Callable[[], None], parent: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    seen = []
    made = make(client, parent, DROP).json()["data"][0]["id"]

    def verb(verb: str, *arguments: str, meanwhile: Callable[[], None], **more: Any) -> Any:
        ends = ("/progress.json", "/progress")
        path = next(Path(each) for each in arguments if each.endswith(ends))
        for text in ('{"stage": "x"}', json.dumps(FAR)):
            path.write_text(text)
            meanwhile()
            seen.append(show(client, made)["progress"])
        return in_this_process(verb, *arguments, **more)

    for module in (versions, file_tasks):
        monkeypatch.setattr(
            module, "run_verb", lambda name, *rest, **more: (
                in_this_process if name == "audit" else verb)(name, *rest, **more),
        )  # fmt: skip
    assert show(client, made)["progress"] is None
    work()
    # Once it is made, its validation says how far it is.
    assert seen == [None, FAR, None, FAR]
    done = show(client, made)
    assert (done["status"], done["progress"]) == ("processed", None)
    report = client.get(f"/v1/files/{made}/report").json()
    counted = {"step": "drop_rows", "rows_before": 6, "rows_after": 4, "rows_changed": 0}
    assert (report["accepted"], report["steps"]) == (4, [counted])


FAR = {"stage": "make", "done": 3, "total": 6, "unit": "rows", "step": 1, "steps": 2,
       "name": "drop_rows"}  # fmt: skip
NO_PROGRESS = [
    "", "[", "[1]", "{}", '{"stage": "make"}', '{"stage": "make", "done": -1, "unit": "rows"}',
    '{"stage": "make", "done": true, "unit": "rows"}', '{"stage": "make", "done": 1, "unit": "x"}',
    '{"stage": "make", "done": 1, "unit": "rows", "name": ["x"]}', "[" * 1000,
]  # fmt: skip


@pytest.mark.parametrize("text", NO_PROGRESS)
def test_progress_that_a_process_has_garbled_is_no_progress(tmp_path: Path, text: str) -> None:
    path = tmp_path / "progress"
    assert progress.read(path) is None
    path.write_text(text)
    assert progress.read(path) is None
    good = tmp_path / "good"
    good.write_text(json.dumps(FAR))
    assert progress.read(good) == FAR
    (tmp_path / "link").symlink_to(good)
    assert progress.read(tmp_path / "link") is None
