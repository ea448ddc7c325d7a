"""Files that are read again under other column names."""

from collections.abc import Callable
from pathlib import Path

import pytest
from fastapi.testclient import TestClient

from models import File
from services.platform import storage
from services.platform.database import transaction
from tests.api.sent_files import COLUMNS, QUESTIONS, error_of, jsonl, post, uploaded


@pytest.fixture
def unread(client: TestClient) -> str:
    """A file whose columns have other names."""
    return post(client, jsonl(QUESTIONS), "pairs.jsonl").json()["id"]


def reread(client: TestClient, file_id: str, columns: dict[str, str] = COLUMNS):
    return client.post(f"/v1/files/{file_id}/rereads", json={"columns": columns})


def test_the_same_bytes_are_read_under_other_names(
    client: TestClient, work: Callable[[], None], unread: str, tmp_path: Path
) -> None:
    made = reread(client, unread).raise_for_status().json()
    assert (made["filename"], made["columns"]) == ("pairs.jsonl", COLUMNS)
    work()
    first, second = (client.get(f"/v1/files/{each}").json() for each in (unread, made["id"]))
    assert (first["status"], first["columns"]) == ("error", None)
    assert (second["status"], second["accepted"]) == ("processed", len(QUESTIONS))
    assert second["sha256"] == first["sha256"]
    assert len(uploaded(tmp_path)) == 1
    client.delete(f"/v1/files/{unread}").raise_for_status()
    work()
    assert client.get(f"/v1/files/{made['id']}/content").content == jsonl(QUESTIONS)


def test_bad_columns_and_missing_files_are_refused(client: TestClient, unread: str) -> None:
    twice = {"prompt": "question", "chosen": "question"}
    for columns in (twice, {"prmpt": "question"}, {}, {"prompt": ""}):
        assert error_of(reread(client, unread, columns), 400)["param"].startswith("columns")
    assert error_of(reread(client, "file-none"), 404)["param"] == "file_id"
    with transaction() as session:
        storage.delete(session.get_one(File, unread).storage_key)
    assert error_of(reread(client, unread), 409)["param"] == "file_id"


def test_a_file_of_another_organisation_is_unknown(
    client: TestClient, stranger: str, unread: str
) -> None:
    headers = {"Authorization": f"Bearer {stranger}"}
    answer = client.post(f"/v1/files/{unread}/rereads", json={"columns": COLUMNS}, headers=headers)
    assert error_of(answer, 404)["param"] == "file_id"
