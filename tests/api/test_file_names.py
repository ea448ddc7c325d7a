"""Names that clients give their files."""

import pytest
from fastapi.testclient import TestClient

from services.files import files
from tests.api.test_files import PAIRS, jsonl, post

CONTENT = jsonl(PAIRS)


@pytest.mark.parametrize("name", ["/", "..", "a/", "  ", "\u202e", "\\"])
def test_a_file_without_a_name_that_can_be_shown_is_an_upload(
    client: TestClient, name: str
) -> None:
    made = post(client, CONTENT, name).raise_for_status().json()
    assert made["filename"] == files.NO_NAME
    announced = {"filename": name, "purpose": "fine-tune", "bytes": len(CONTENT), "mime_type": ""}
    begun = client.post("/v1/uploads", json=announced)
    assert begun.status_code == 200
    path = f"/v1/uploads/{begun.json()['id']}"
    part = client.post(f"{path}/parts", files={"data": ("part", CONTENT)}).json()
    done = client.post(f"{path}/complete", json={"part_ids": [part["id"]]}).json()
    assert done["file"]["filename"] == files.NO_NAME


@pytest.mark.parametrize("name", ["-rf", "$(id).jsonl", "a;b", "\U0001f600.jsonl", ".jsonl", "a b"])
def test_an_odd_name_stays_as_it_is(client: TestClient, name: str) -> None:
    made = post(client, CONTENT, name).raise_for_status().json()
    assert made["filename"] == name
    sent = client.get(f"/v1/files/{made['id']}/content")
    assert sent.content == CONTENT
