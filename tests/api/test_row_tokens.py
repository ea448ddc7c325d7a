"""The exact tokens of a row, by REST, from a real tokenizer in a process of its own."""

import json
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
from fastapi.testclient import TestClient

from services.access.callers import Caller
from services.files import seed
from services.platform.database import transaction
from tests import records
from tests.orpo.tiny_run import write_base

pytestmark = pytest.mark.slow


ROWS = [
    {"prompt": "Why?", "chosen": "Because.", "rejected": "No idea."},
    {"prompt": "Why?", "chosen": "Same.", "rejected": "Same."},
    {"prompt": "Why?", "chosen": "x" * 300, "rejected": "No idea."},
]


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return write_base(tmp_path_factory.mktemp("tokens") / "tiny")


def register(name: str, folder: Path) -> None:
    with transaction() as session:
        records.base_model(
            session, Caller(seed.ORG_ID, None, frozenset()), id=name, path=str(folder)
        )


@pytest.fixture
def path(client: TestClient, work: Callable[[], None], folder: Path) -> str:
    """The path of the rows of a file, with a base model `tiny` beside it."""
    register("tiny", folder)
    content = "".join(json.dumps(row) + "\n" for row in ROWS)
    form = {"files": {"file": ("a.jsonl", content)}, "data": {"purpose": "fine-tune"}}
    file_id = client.post("/v1/files", **form).json()["id"]
    work()
    return f"/v1/files/{file_id}/rows"


def get(client: TestClient, url: str, **query: Any) -> Any:
    return client.get(url, params={"model": "tiny", **query})


def test_the_tokens_of_a_row(client: TestClient, path: str) -> None:
    found = get(client, f"{path}/1/tokens").json()
    chosen = [token["text"] for token in found["chosen"]["tokens"] if token["trained"]]
    assert "".join(chosen) == "Because.<|im_end|>"
    assert "Why?" in "".join(token["text"] for token in found["prefix"]["tokens"])
    assert (found["model"], found["line"], found["dropped"]) == ("tiny", 1, None)
    cut = get(client, f"{path}/3/tokens", max_length=100).json()
    assert cut["truncated"]
    dropped = get(client, f"{path}/1/tokens", max_length=8).json()
    assert (dropped["dropped"], dropped["prefix"]) == ("prompt_too_long", None)


REFUSED: list[tuple[int, dict[str, Any], int, str]] = [
    (2, {}, 404, "line"),
    (4, {}, 404, "line"),
    (0, {}, 400, "line"),
    (1, {"model": "none"}, 404, "model"),
    (1, {"max_length": 7}, 400, "max_length"),
    (1, {"turns": "some"}, 400, "turns"),
]


def test_what_can_not_be_shown(client: TestClient, path: str, stranger: str) -> None:
    for line, query, status, param in REFUSED:
        answer = get(client, f"{path}/{line}/tokens", **query)
        assert (answer.status_code, answer.json()["error"]["param"]) == (status, param)
    theirs = {"Authorization": f"Bearer {stranger}"}
    answer = client.get(f"{path}/1/tokens", params={"model": "tiny"}, headers=theirs)
    assert answer.status_code == 404


def test_a_tokenizer_that_can_not_be_used(client: TestClient, path: str, tmp_path: Path) -> None:
    empty = tmp_path / "empty"
    empty.mkdir()
    register("broken", empty)
    answer = get(client, f"{path}/1/tokens", model="broken")
    assert (answer.status_code, answer.json()["error"]["param"]) == (400, "model")
    assert "can't be shown" in answer.json()["error"]["message"]
