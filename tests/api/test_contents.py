"""Files with the same bytes."""

from collections.abc import Callable
from pathlib import Path

from fastapi.testclient import TestClient

from tests.api.sent_files import content_of, post, stored, uploaded
from tests.api.sent_parts import CONTENT, begin, complete, send_all


def test_equal_files_are_stored_once_and_go_one_by_one(
    client: TestClient, work: Callable[[], None], stranger: str, tmp_path: Path
) -> None:
    def on_disk() -> list[Path]:
        return uploaded(tmp_path)

    first = post(client, CONTENT).json()["id"]
    second = post(client, CONTENT, "other.jsonl").json()["id"]
    upload = begin(client)
    third = complete(client, upload, send_all(client, upload)).json()["file"]["id"]
    work()
    assert len({first, second, third}) == 3
    assert len(on_disk()) == 1
    # Another organisation has bytes of its own.
    theirs = {"Authorization": f"Bearer {stranger}"}
    form = {"files": {"file": ("a.jsonl", CONTENT)}, "data": {"purpose": "fine-tune"}}
    client.post("/v1/files", headers=theirs, **form).raise_for_status()
    assert len(on_disk()) == 2
    for gone, left in ((second, [first, third]), (first, [third])):
        client.delete(f"/v1/files/{gone}").raise_for_status()
        work()
        assert len(on_disk()) == 2
        for file in left:
            assert content_of(client, file) == CONTENT
            assert client.get(f"/v1/files/{file}/rows").json()["total"] == 40
    client.delete(f"/v1/files/{third}").raise_for_status()
    work()
    assert len(on_disk()) == 1
    assert client.get(f"/v1/uploads/{upload}").status_code == 404  # its row names the file


def test_a_file_whose_bytes_are_lost_shares_nothing(client: TestClient, tmp_path: Path) -> None:
    post(client, CONTENT).raise_for_status()
    (lost,) = stored(tmp_path)
    lost.unlink()
    again = post(client, CONTENT).json()["id"]
    assert content_of(client, again) == CONTENT
