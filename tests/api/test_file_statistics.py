"""Statistics of a file for a base model by REST, from a real tokenizer in a process of its own."""

import json
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
from fastapi.testclient import TestClient

from models.jobs import Purpose
from services.access.callers import Caller
from services.files import seed
from services.platform.database import transaction
from tests import records
from tests.orpo.tiny_run import write_base

pytestmark = pytest.mark.slow

OWNER = Caller(seed.ORG_ID, None, frozenset())
ROWS = [
    {"prompt": "Why?", "chosen": "Because.", "rejected": "No idea."},
    {"prompt": "Why?", "chosen": "x" * 300, "rejected": "No idea."},
]


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return write_base(tmp_path_factory.mktemp("statistics") / "tiny")


@pytest.fixture
def path(client: TestClient, work: Callable[[], None], folder: Path) -> str:
    """The path of the statistics of a file, with a base model `tiny` beside it."""
    with transaction() as session:
        records.base_model(session, OWNER, id="tiny", path=str(folder))
    content = "".join(json.dumps(row) + "\n" for row in ROWS)
    form = {"files": {"file": ("a.jsonl", content)}, "data": {"purpose": "fine-tune"}}
    file_id = client.post("/v1/files", **form).json()["id"]
    work()
    return f"/v1/files/{file_id}/statistics"


def get(client: TestClient, path: str, **query: Any) -> Any:
    return client.get(path, params={"model": "tiny", **query})


def test_statistics_and_the_time_that_an_estimate_measured(client: TestClient, path: str) -> None:
    found = get(client, path, max_length=100, batch_size=1).json()
    assert (found["rows"], found["sampled"], found["max_length"]) == (2, 2, 100)
    assert found["tokens"]["chosen"]["max"] == 301
    assert (found["cut"]["longer"], found["cut"]["trained"], found["cut"]["lines"]) == (1, 1, [2])
    assert found["left_out"] == []
    assert (found["job"]["steps"], found["job"]["train_s"]) == (2, None)
    measured = {"tokens_per_s": 50.0, "device": {"name": "a chip"}}
    with transaction() as session:
        of = {"base_model": "tiny", "purpose": Purpose.ESTIMATE, "estimate": measured}
        job = records.job(session, OWNER, **of).id
    again = get(client, path, max_length=100, batch_size=1).json()["job"]
    assert again["speed"] == {"estimate": job, "tokens_per_s": 50.0, "device": "a chip"}
    assert again["train_s"] == again["tokens"] / 50


REFUSED: list[tuple[dict[str, Any], int, str]] = [
    ({"model": "none"}, 404, "model"),
    ({"max_length": 7}, 400, "max_length"),
    ({"turns": "some"}, 400, "turns"),
    ({"overlong": "some"}, 400, "overlong"),
    ({"batch_size": 0}, 400, "batch_size"),
    ({"n_epochs": "nan"}, 400, "n_epochs"),
    ({"n_epochs": "inf"}, 400, "n_epochs"),
]


def test_what_can_not_be_counted(client: TestClient, path: str, tmp_path: Path) -> None:
    for query, status, param in REFUSED:
        answer = get(client, path, **query)
        assert (answer.status_code, answer.json()["error"]["param"]) == (status, param), query
    empty = tmp_path / "empty"
    empty.mkdir()
    with transaction() as session:
        records.base_model(session, OWNER, id="broken", path=str(empty))
        no_rows = records.file(session, OWNER, accepted=0, rows_key=None).id
    answer = get(client, path, model="broken")
    assert (answer.status_code, answer.json()["error"]["param"]) == (400, "model")
    answer = get(client, f"/v1/files/{no_rows}/statistics")
    assert (answer.status_code, answer.json()["error"]["param"]) == (409, "file_id")
