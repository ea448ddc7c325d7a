"""Files whose columns have other names."""

import gzip
import json
from collections.abc import Callable

import openai
from fastapi.testclient import TestClient

from orpo.rows.column_names import FIELDS, MAX_NAME
from tests.api.sent_files import COLUMNS, QUESTIONS, error_of, jsonl, post
from tests.api.sent_parts import complete, send


def test_columns_with_other_names_are_suggested_and_then_read(
    client: TestClient, work: Callable[[], None]
) -> None:
    content = gzip.compress(jsonl(QUESTIONS))
    first = post(client, content, "pairs").json()
    work()
    failed = client.get(f"/v1/files/{first['id']}").json()
    assert failed["status"] == "error"
    command = f"oddsmith files reread {first['id']} --columns prompt=question,chosen=best"
    assert failed["status_details"].endswith(f"{command},rejected=worst")
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
