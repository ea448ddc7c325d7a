"""Forms that send a file: wrong fields, wrong bodies, and names."""

import json
from collections.abc import Callable
from pathlib import Path

import pytest
from fastapi.testclient import TestClient

from services.files import files as file_service
from tests.api.sent_files import PAIRS, error_of, post, stored


def multipart(boundary: str) -> dict[str, str]:
    return {"Content-Type": f"multipart/form-data; boundary={boundary}"}


def test_a_refused_upload_names_the_field_and_leaves_nothing(
    client: TestClient, settings_from: Callable[..., None], tmp_path: Path
) -> None:
    assert error_of(post(client, b""), 400)["param"] == "file"
    assert error_of(post(client, b"x", columns="prompt=question"), 400)["param"] == "columns"
    assert error_of(post(client, b"x", purpose="assistants"), 400)["param"] == "purpose"
    only_purpose = client.post("/v1/files", files={"purpose": (None, "fine-tune")})
    assert error_of(only_purpose, 400)["param"] == "file"
    error_of(client.post("/v1/files", json={}), 400)
    error_of(client.post("/v1/files", content=b"x" * 99, headers=multipart("b")), 400)
    long = client.post("/v1/files", content=b"x", headers=multipart("b" * 300))
    assert "300 characters" in error_of(long, 400)["message"]
    cut = b'--b\r\nContent-Disposition: form-data; name="file"; filename="a.jsonl"\r\n\r\nrow'
    assert (
        "broke off"
        in error_of(client.post("/v1/files", content=cut, headers=multipart("b")), 400)["message"]
    )
    settings_from(max_upload_bytes=10)
    assert error_of(post(client, b"x" * 11), 413)["param"] == "file"
    assert error_of(post(client, b"x" * 200_000), 413)["param"] == "file"
    assert stored(tmp_path) == []
    assert client.get("/v1/files").json()["data"] == []


@pytest.mark.parametrize(
    ("headers", "parts"),
    [
        pytest.param('Content-Disposition: form-data; name="a"\r\n', 65, id="many parts"),
        pytest.param("", 65, id="many parts without headers"),
        pytest.param("x: y\r\n" * 100, 1, id="many headers"),
        pytest.param("x: " + "y" * 5000 + "\r\n", 1, id="a long header"),
        pytest.param("x" * 5000 + ": y\r\n", 1, id="a long name"),
    ],
)
def test_a_form_has_few_parts_and_headers(
    client: TestClient, tmp_path: Path, headers: str, parts: int
) -> None:
    """The file comes last, so that without a limit the form would be accepted."""
    disposition = 'Content-Disposition: form-data; name="file"; filename="a.jsonl"\r\n'
    body = "".join(
        [f"--b\r\n{headers}\r\n\r\n"] * parts
        + [f"--b\r\n{disposition}\r\n{json.dumps(PAIRS[0])}\n\r\n"]
        + ['--b\r\nContent-Disposition: form-data; name="purpose"\r\n\r\nfine-tune\r\n--b--\r\n']
    )
    kind = {"Content-Type": "multipart/form-data; boundary=b"}
    error_of(client.post("/v1/files", content=body, headers=kind), 400)
    assert stored(tmp_path) == []


@pytest.mark.parametrize(
    ("name", "shown"),
    [("../../etc/x.jsonl", "x.jsonl"), ("C:\\a\\b.jsonl", "b.jsonl"), ("a\x07b.jsonl", "ab.jsonl")],
)
def test_a_name_keeps_no_path_and_no_control_character(name: str, shown: str) -> None:
    assert file_service.safe_name(name) == shown
