"""Files that tests send, and what the storage then holds."""

import json
from pathlib import Path
from typing import Any

from fastapi.testclient import TestClient

PAIRS = [
    {"prompt": f"Question {n}?", "chosen": "Yes.", "rejected": "I could not say."} for n in range(5)
]
QUESTIONS = [
    {"question": f"Question {n}?", "best": "Yes.", "worst": "I could not say."} for n in range(5)
]
COLUMNS = {"prompt": "question", "chosen": "best", "rejected": "worst"}


def jsonl(rows: list[Any]) -> bytes:
    return "".join(json.dumps(row) + "\n" for row in rows).encode()


def post(client: TestClient, content: bytes, name: str = "a.jsonl", **form: str) -> Any:
    return client.post(
        "/v1/files", files={"file": (name, content)}, data={"purpose": "fine-tune"} | form
    )


def stored(tmp_path: Path) -> list[Path]:
    return [path for path in (tmp_path / "storage").rglob("*") if path.is_file()]


def uploaded(tmp_path: Path) -> list[Path]:
    """What is stored of uploads, without what was made of them, which has a suffix."""
    return [path for path in stored(tmp_path) if not path.suffix]


def error_of(response: Any, status: int) -> dict[str, Any]:
    assert response.status_code == status, response.text
    error = response.json()["error"]
    assert error.keys() == {"message", "type", "param", "code"}
    assert error["message"].endswith(".")
    return error


def content_of(client: TestClient, file_id: str) -> bytes:
    return client.get(f"/v1/files/{file_id}/content").content
