"""Files of prompts by REST, read by the real verb; and where a file of pairs is needed instead."""

from collections.abc import Callable
from typing import Any

import pytest
from fastapi.testclient import TestClient

from services.access.callers import Caller
from services.files import seed
from services.platform.database import transaction
from tests import records
from tests.api.sent_files import PAIRS, error_of, jsonl, post
from tests.evals.data import FOLDER, shared

PROMPTS = [
    {"key": 7, "prompt": "Why?", "instruction_id_list": ["punctuation:no_comma"], "kwargs": [{}]},
    {"key": 8, "prompt": "Why?", "instruction_id_list": ["punctuation:no_comma"], "kwargs": [{}]},
    {"key": 9, "prompt": " ", "instruction_id_list": [], "kwargs": []},
]


def prompts(client: TestClient, rows: list[Any], name: str = "a.jsonl") -> str:
    return post(client, jsonl(rows), name, purpose="evals").raise_for_status().json()["id"]


def test_a_file_of_prompts_is_read(client: TestClient, work: Callable[[], None]) -> None:
    file_id = prompts(client, PROMPTS)
    work()
    file = client.get(f"/v1/files/{file_id}").json()
    assert (file["purpose"], file["status"], file["rows"], file["accepted"]) == (
        "evals", "processed", 3, 2,
    )  # fmt: skip
    report = client.get(f"/v1/files/{file_id}/report").raise_for_status().json()
    assert report["dropped"] == {"empty": 1}
    assert report["audit"] is None
    found = report["prompts"]
    assert (found["repeated"], found["turns"], found["official"]) == (1, 1, None)
    assert found["suites"] == ["custom", "reward", "diversity", "ifeval"]
    assert found["unfit"].keys() == {"alpaca_eval", "mt_bench"}
    dropped = client.get(f"/v1/files/{file_id}/dropped").raise_for_status().json()
    assert dropped["data"][0]["message"] == "The prompt is empty."


def test_a_file_without_a_prompt_says_why(client: TestClient, work: Callable[[], None]) -> None:
    file_id = prompts(client, [{"text": "Why?"}, {"prompt": ""}])
    work()
    file = client.get(f"/v1/files/{file_id}").json()
    assert file["status"] == "error"
    details = file["status_details"]
    assert details.startswith("None of its 2 rows can be asked. Line 1: No prompt was found.")
    assert "Keys seen: text. If another key holds the prompt" in details
    assert f"oddsmith files reread {file_id} --columns prompt=KEY" in details
    reread = client.post(f"/v1/files/{file_id}/rereads", json={"columns": {"prompt": "text"}})
    work()
    again = client.get(f"/v1/files/{reread.raise_for_status().json()['id']}").json()
    assert (again["purpose"], again["accepted"]) == ("evals", 1)


def test_it_is_listed_by_its_purpose(client: TestClient, work: Callable[[], None]) -> None:
    pairs = post(client, jsonl(PAIRS)).json()["id"]
    file_id = prompts(client, PROMPTS)
    work()
    for purpose, expected in (("fine-tune", pairs), ("evals", file_id)):
        found = client.get("/v1/files", params={"purpose": purpose}).json()["data"]
        assert [file["id"] for file in found] == [expected]
    error = error_of(post(client, jsonl(PAIRS), purpose="assistants"), 400)
    assert (error["param"], error["message"]) == (
        "purpose", "Send `purpose` as `fine-tune` or `evals`.",
    )  # fmt: skip


def test_where_pairs_are_needed_it_is_refused_by_field(
    client: TestClient, work: Callable[[], None], base: str
) -> None:
    file_id = prompts(client, PROMPTS)
    pairs = post(client, jsonl(PAIRS)).json()["id"]
    work()
    body = {"model": base, "training_file": file_id, "method": {"type": "orpo"}}
    error = error_of(client.post("/v1/fine_tuning/jobs", json=body), 400)
    assert (error["param"], error["code"]) == ("training_file", "file_unusable")
    body = {**body, "training_file": pairs, "validation_file": file_id}
    error = error_of(client.post("/v1/fine_tuning/jobs", json=body), 400)
    assert error["param"] == "validation_file"
    drop = [{"step": "drop_rows", "lines": [1]}]
    requests: list[tuple[str, str, Any]] = [
        ("GET", "rows", {}),
        ("GET", "export", {"params": {"shape": "explicit", "container": "jsonl"}}),
        ("GET", "overlaps", {"params": {"against": pairs}}),
        ("POST", "versions", {"json": {"recipe": drop}}),
        ("POST", "deep_audits", {"json": {"model": base}}),
    ]
    for method, path, sent in requests:
        answer = client.request(method, f"/v1/files/{file_id}/{path}", **sent)
        assert "no pairs" in error_of(answer, 400)["message"], path
    # The other way round, its prompts can be looked for in pairs.
    found = client.get(f"/v1/files/{pairs}/overlaps", params={"against": file_id})
    assert found.raise_for_status().json()["against"][0]["prompts"] == 1


def test_the_same_bytes_are_stored_once_and_read_by_their_purpose(
    client: TestClient, work: Callable[[], None]
) -> None:
    pairs, file_id = post(client, jsonl(PAIRS)).json()["id"], prompts(client, PAIRS)
    work()
    assert client.get(f"/v1/files/{file_id}/report").json()["prompts"]["repeated"] == 0
    client.delete(f"/v1/files/{pairs}").raise_for_status()
    work()
    assert client.get(f"/v1/files/{file_id}/content").content == jsonl(PAIRS)


@shared
def test_the_official_file_of_ifeval_is_known(client: TestClient, work: Callable[[], None]) -> None:
    content = (FOLDER / "ifeval_prompts.jsonl").read_bytes()
    file_id = post(client, content, purpose="evals").json()["id"]
    work()
    found = client.get(f"/v1/files/{file_id}/report").json()
    assert (found["accepted"], found["prompts"]["official"]) == (541, "ifeval")
    assert found["prompts"]["suites"] == ["custom", "reward", "diversity", "ifeval"]


@pytest.fixture
def base(client: TestClient) -> str:
    """A base model that is ready."""
    with transaction() as session:
        return records.base_model(session, Caller(seed.ORG_ID, None, frozenset())).id
