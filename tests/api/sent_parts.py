"""Uploads in parts that tests send."""

from typing import Any

from fastapi.testclient import TestClient
from sqlalchemy import func, update

from models import Upload
from services.platform.database import transaction
from tests.api.sent_files import jsonl

CONTENT = jsonl([{"prompt": f"{n}?", "chosen": "a", "rejected": "b"} for n in range(40)])
PART = 500
PARTS = [CONTENT[at : at + PART] for at in range(0, len(CONTENT), PART)]


def begin(client: TestClient, size_bytes: int = len(CONTENT), name: str = "a.jsonl") -> str:
    body = {
        "filename": name, "purpose": "fine-tune", "bytes": size_bytes,
        "mime_type": "application/jsonl",
    }  # fmt: skip
    return client.post("/v1/uploads", json=body).raise_for_status().json()["id"]


def send(client: TestClient, upload_id: str, data: bytes, **headers: str) -> Any:
    names = {name.replace("_", "-"): value for name, value in headers.items()}
    path = f"/v1/uploads/{upload_id}/parts"
    return client.post(path, files={"data": data}, headers=names)


def send_all(client: TestClient, upload_id: str) -> list[str]:
    return [send(client, upload_id, part).raise_for_status().json()["id"] for part in PARTS]


def complete(client: TestClient, upload_id: str, part_ids: list[str], **more: str) -> Any:
    return client.post(f"/v1/uploads/{upload_id}/complete", json={"part_ids": part_ids, **more})


def make_late(upload_id: str) -> None:
    with transaction() as session:
        session.execute(
            update(Upload).where(Upload.id == upload_id).values(expires_at=func.clock_timestamp())
        )
