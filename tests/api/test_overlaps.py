"""Prompts that stand in several files, by REST, compared by the real verb."""

import json
from collections.abc import Callable
from typing import Any

import pytest
from fastapi.testclient import TestClient

from services.access.callers import Caller
from services.files import seed
from services.platform import storage
from services.platform.database import transaction
from tests import records

EMAIL = "jane.doe@kestrel-mail.net"
LONG = (
    "The harbour carries the lantern near the old market and the meadow opens early. Why do the "
    "people of the village mend their kettles there, and who paints the windows?"
)
PAIRS = [
    {"prompt": f"Answer {EMAIL}.", "chosen": "a", "rejected": "b"},
    {"prompt": "How far?", "chosen": "a", "rejected": "b"},
    {"prompt": LONG, "chosen": "a", "rejected": "b"},
    {"prompt": "Else?", "chosen": "a", "rejected": "b"},
]
BENCHMARK = [
    {"instruction": LONG.replace("early", "late"), "output": "x", "generator": "y"},
    {"instruction": "how  far?", "output": "x", "generator": "y"},
    {"id": 3},
]


def upload(client: TestClient, rows: list[Any], name: str) -> str:
    content = "".join(json.dumps(row) + "\n" for row in rows)
    form = {"files": {"file": (name, content)}, "data": {"purpose": "fine-tune"}}
    return client.post("/v1/files", **form).raise_for_status().json()["id"]


def get(client: TestClient, file_id: str, *against: str, **query: Any) -> Any:
    return client.get(f"/v1/files/{file_id}/overlaps", params={"against": against, **query})


def test_against_held_out_pairs_and_a_benchmark(
    client: TestClient, work: Callable[[], None]
) -> None:
    mine = upload(client, PAIRS, "train.jsonl")
    held_out = upload(client, [{**PAIRS[0], "chosen": "else"}], "held-out.jsonl")
    benchmark = upload(client, BENCHMARK, "benchmark.jsonl")
    work()
    assert client.get(f"/v1/files/{benchmark}").json()["status"] == "error"
    found = get(client, mine, held_out, benchmark, held_out).raise_for_status().json()
    assert found["same"] == {"rows": 2, "share": 0.5, "lines": [1, 2]}
    assert found["near"] == {"rows": 1, "share": 0.25, "lines": [3]}
    assert "too good" in found["message"]
    first, second = found["against"]
    assert (first["file_id"], first["filename"], first["prompts"]) == (
        held_out, "held-out.jsonl", 1,
    )  # fmt: skip
    assert (second["file_id"], second["prompts"], second["without_prompt"]) == (benchmark, 2, 1)
    assert first["same"]["pairs"][0]["prompt"] == "Answer [email]."
    assert found["masked"] is True
    near = second["near"]["pairs"][0]
    assert (near["line"], near["against_line"], near["against_prompt"]) == (
        3, 1, BENCHMARK[0]["instruction"],
    )  # fmt: skip
    # The lines are those that a recipe takes.
    recipe = [{"step": "drop_rows", "lines": found["same"]["lines"] + found["near"]["lines"]}]
    path = f"/v1/files/{mine}/versions"
    version = client.post(path, json={"recipe": recipe}).raise_for_status().json()["data"][0]["id"]
    work()
    rest = get(client, version, held_out, benchmark).json()
    assert (rest["rows"], rest["same"]["rows"], rest["near"]["rows"]) == (1, 0, 0)
    assert rest["message"] is None
    shown = get(client, mine, held_out, unmask="true").json()
    assert shown["against"][0]["same"]["pairs"][0]["prompt"] == f"Answer {EMAIL}."
    assert shown["masked"] is False


def test_what_is_refused(
    client: TestClient, work: Callable[[], None], stranger: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    mine = upload(client, PAIRS, "train.jsonl")
    without = upload(client, [{"id": 1}], "ids.jsonl")
    work()
    late = upload(client, PAIRS, "late.jsonl")
    refused: list[tuple[tuple[str, ...], dict[str, Any], int, str]] = [
        ((), {}, 400, "against"),
        ((mine,), {}, 400, "against"),
        ((without,) * 21, {}, 400, "against"),
        (("file-none",), {}, 404, "against"),
        ((late,), {}, 409, "against"),
        ((without,), {}, 400, "against"),
        ((without,), {"unmask": "1"}, 400, "unmask"),
    ]
    for against, query, status, param in refused:
        answer = get(client, mine, *against, **query)
        error = answer.json()["error"]
        assert (answer.status_code, error["param"]) == (status, param), (against, query)
    message = get(client, mine, without).json()["error"]["message"]
    assert "No prompt was found in ids.jsonl" in message
    answer = get(client, without, mine)
    assert (answer.status_code, answer.json()["error"]["param"]) == (409, "file_id")
    theirs = {"Authorization": f"Bearer {stranger}"}
    path = f"/v1/files/{mine}/overlaps?against={without}"
    assert client.get(path, headers=theirs).status_code == 404


def test_a_file_of_another_organisation_is_not_compared(
    client: TestClient, work: Callable[[], None]
) -> None:
    mine = upload(client, PAIRS, "train.jsonl")
    work()
    with transaction() as session:
        other = records.file(session, records.caller(session, "other")).id
        gone = records.file(session, Caller(seed.ORG_ID, None, frozenset()), rows_key="no.rows").id
    assert storage.size_bytes("no.rows") is None
    assert get(client, mine, other).status_code == 404
    answer = get(client, mine, gone)
    assert (answer.status_code, answer.json()["error"]["code"]) == (409, "conflict")
