"""Rows by place, finding and text, and the dropped rows, by REST."""

import json
from collections.abc import Callable
from typing import Any

import numpy as np
import orjson
import pytest
from fastapi.testclient import TestClient

from models.base import new_id
from orpo.audit import found
from orpo.audit.found import Named
from services.access.callers import Caller
from services.files import rows as row_service
from services.files import seed
from services.files.keys import keys_of
from services.platform import storage
from services.platform.database import transaction
from tests import records

TEXTS = ["Straße", "salt", "SALT and more", "a\nline", "straße", "none", "salt"]
FINDINGS = {
    "duplicate": Named(np.array([0, 1, 4, 6], np.uint32), np.array([7, 3, 7, 3], np.uint32)),
    "email": Named(np.array([1, 5], np.uint32)),
}


def normal(place: int, text: str) -> dict[str, Any]:
    """A row in normal form; every second line of its file was dropped."""
    return {
        "line": 2 * place + 1,
        "prompt": [{"role": "user", "content": f"Question {place}?"}],
        "chosen": [{"role": "assistant", "content": text}],
        "rejected": [{"role": "assistant", "content": "No."}],
    }


def put(key: str, content: bytes) -> None:
    with storage.writing(key) as sink:
        sink.write(content)


def store(lines: list[bytes], offsets: bool, findings: dict[str, Named] | None) -> str:
    """Store a validated file as a worker leaves it, and return its id."""
    file_id = new_id("file")
    keys = keys_of(file_id)
    with transaction() as session:
        owner = Caller(seed.ORG_ID, None, frozenset())
        records.file(session, owner, accepted=len(lines), id=file_id, rows_key=keys.rows)
    put(keys.rows, b"".join(lines))
    if offsets:
        starts = np.cumsum([0, *map(len, lines)])[:-1]
        put(keys.offsets, starts.astype("<u8").tobytes())
    if findings is not None:
        with storage.writing_path(keys.audit) as path:
            found.write(path, findings)
    return file_id


def lines_of(texts: list[str]) -> list[bytes]:
    option = orjson.OPT_APPEND_NEWLINE
    return [orjson.dumps(normal(at, text), option=option) for at, text in enumerate(texts)]


@pytest.fixture(params=[True, False], ids=["offsets", "older release"])
def file_id(request: pytest.FixtureRequest, product: None) -> str:
    return store(lines_of(TEXTS), request.param, FINDINGS)


def get(client: TestClient, file_id: str, **query: Any) -> Any:
    answer = client.get(f"/v1/files/{file_id}/rows", params=query)
    assert answer.status_code == 200, answer.text
    return answer.json()


def places(page: Any) -> list[int]:
    return [row["place"] for row in page["data"]]


def test_pages_by_place(client: TestClient, file_id: str) -> None:
    first = get(client, file_id, limit=3)
    assert (places(first), first["total"], first["next_offset"]) == ([0, 1, 2], 7, 3)
    last = get(client, file_id, limit=5, offset=5)
    assert (places(last), last["has_more"], last["next_offset"]) == ([5, 6], False, None)
    assert last["data"][0]["line"] == 11
    assert [row["findings"] for row in last["data"]] == [["email"], ["duplicate"]]
    assert get(client, file_id, offset=7)["data"] == []
    exact = get(client, file_id, limit=7)
    assert (len(exact["data"]), exact["has_more"]) == (7, False)


def test_rows_of_a_finding_stand_by_group(client: TestClient, file_id: str) -> None:
    page = get(client, file_id, finding="duplicate")
    assert places(page) == [0, 4, 1, 6]
    assert [row["group"] for row in page["data"]] == [7, 7, 3, 3]
    assert page["total"] == 4
    second = get(client, file_id, finding="duplicate", offset=1, limit=2)
    assert (places(second), second["next_offset"]) == ([4, 1], 3)
    alone = get(client, file_id, finding="email")
    assert (places(alone), alone["data"][0]["group"]) == ([1, 5], None)
    assert get(client, file_id, finding="cut")["total"] == 0


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        ("salt", [1, 2, 6]),
        ("STRASSE", []),
        ("STRAßE", [0, 4]),
        ("question 3", [3]),
        ("a\nLINE", [3]),
        ("user", []),
        ("content", []),
        ("nline", []),
    ],
)
def test_a_search_finds_texts_in_any_case(
    client: TestClient, file_id: str, text: str, expected: list[int]
) -> None:
    page = get(client, file_id, search=text)
    assert (places(page), page["searched"], page["stopped_early"]) == (expected, 7, False)
    assert page["next_offset"] is None


def test_a_search_goes_on_where_a_page_ended(client: TestClient, file_id: str) -> None:
    first = get(client, file_id, search="salt", limit=2)
    assert (places(first), first["next_offset"], first["stopped_early"]) == ([1, 2], 3, False)
    second = get(client, file_id, search="salt", limit=2, offset=first["next_offset"])
    assert (places(second), second["has_more"]) == ([6], False)
    within = get(client, file_id, search="salt", finding="duplicate")
    assert (places(within), within["searched"]) == ([1, 6], 4)


def test_a_search_stops_at_its_limit_and_says_so(
    client: TestClient, file_id: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(row_service, "SEARCH_BYTES", len(b"".join(lines_of(TEXTS)[:3])))
    page = get(client, file_id, search="none")
    assert (places(page), page["stopped_early"], page["next_offset"]) == ([], True, 3)
    rest = get(client, file_id, search="none", offset=page["next_offset"])
    assert places(rest) == [5]


def test_a_far_row_is_read_without_those_before_it(
    client: TestClient, product: None, monkeypatch: pytest.MonkeyPatch
) -> None:
    file_id = store(lines_of(["x"] * 50), offsets=True, findings=None)
    put(
        keys_of(file_id).rows,
        b"\xff" * len(b"".join(lines_of(["x"] * 40))) + b"".join(lines_of(["x"] * 50)[40:]),
    )
    assert places(get(client, file_id, offset=45, limit=2)) == [45, 46]


def test_a_page_of_large_rows_ends_early(client: TestClient, product: None) -> None:
    file_id = store(lines_of(["x" * 400_000] * 4), offsets=True, findings={})
    first = get(client, file_id)
    assert (places(first), first["next_offset"], first["stopped_early"]) == ([0, 1], 2, False)
    assert places(get(client, file_id, offset=2)) == [2, 3]
    found_first = get(client, file_id, search="x")
    assert (places(found_first), found_first["next_offset"]) == ([0, 1], 2)


REFUSED = [
    ({"finding": "no such"}, 400, "finding"),
    ({"search": ""}, 400, "search"),
    ({"search": "x" * 201}, 400, "search"),
    ({"search": "\0"}, 400, "search"),
    ({"limit": 101}, 400, "limit"),
    ({"offset": 2**31}, 400, "offset"),
    ({"finding": "email"}, 409, "finding"),
]


@pytest.mark.parametrize(("query", "status", "param"), REFUSED)
def test_what_is_refused(
    client: TestClient, product: None, query: dict[str, Any], status: int, param: str
) -> None:
    file_id = store(lines_of(TEXTS), offsets=True, findings=None)
    answer = client.get(f"/v1/files/{file_id}/rows", params=query)
    assert (answer.status_code, answer.json()["error"]["param"]) == (status, param)


def test_another_organisation_sees_no_row(client: TestClient, file_id: str, stranger: str) -> None:
    theirs = {"Authorization": f"Bearer {stranger}"}
    for noun in ("rows", "dropped", "statistics?model=x"):
        assert client.get(f"/v1/files/{file_id}/{noun}", headers=theirs).status_code == 404


GOOD = {"prompt": "p", "chosen": "a", "rejected": "b"}
BAD = {"prompt": "p", "chosen": "same", "rejected": "same"}


def upload(client: TestClient, content: bytes, name: str) -> str:
    form = {"files": {"file": (name, content)}, "data": {"purpose": "fine-tune"}}
    return client.post("/v1/files", **form).json()["id"]


def test_dropped_rows_with_their_text(client: TestClient, work: Callable[[], None]) -> None:
    lines = [json.dumps(GOOD), '{"prompt": 1,, }', json.dumps(BAD), '{"text": "é"}']
    file_id = upload(client, "\n".join(lines).encode(), "a.jsonl")
    work()
    page = client.get(f"/v1/files/{file_id}/dropped").json()
    assert [row["text"] for row in page["data"]] == lines[1:]
    assert [row["line"] for row in page["data"]] == [2, 3, 4]
    assert (page["total"], page["has_more"]) == (3, False)
    second = client.get(f"/v1/files/{file_id}/dropped?offset=1&limit=1").json()
    assert (second["data"], second["has_more"]) == ([page["data"][1]], True)
    assert client.get(f"/v1/files/{file_id}/dropped?offset=9").json()["data"] == []


def test_rows_of_a_finding_of_the_real_audit(client: TestClient, work: Callable[[], None]) -> None:
    texts = ["First.", "Second.", "first. ", "Write to jane.doe@kestrel-mail.net for it."]
    rows = [
        {"prompt": f"Which one, {len(t.strip())}?", "chosen": t, "rejected": "No."} for t in texts
    ]
    file_id = upload(client, "".join(json.dumps(row) + "\n" for row in rows).encode(), "a.jsonl")
    work()
    audit = client.get(f"/v1/files/{file_id}/report").json()["audit"]
    counts = {finding["code"]: finding["rows"] for finding in audit["findings"]}
    assert (counts["duplicate"], counts["email"]) == (2, 1)
    for code, count in counts.items():
        page = get(client, file_id, finding=code)
        assert page["total"] == count
        assert all(code in row["findings"] for row in page["data"])
    duplicates = get(client, file_id, finding="duplicate")["data"]
    assert [row["line"] for row in duplicates] == [1, 3]
    assert duplicates[0]["group"] == duplicates[1]["group"]
