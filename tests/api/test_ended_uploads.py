"""Uploads that are cancelled, or expire."""

from collections.abc import Callable
from datetime import timedelta
from pathlib import Path

import openai
from fastapi.testclient import TestClient
from sqlalchemy import func, select, update

from models import AuditEntry, Upload, UploadPart
from services.files import ended_uploads
from services.platform.database import transaction
from services.upkeep import pruning, removals
from tests.api.sent_files import error_of, stored
from tests.api.sent_parts import PARTS, begin, complete, make_late, send, send_all


def test_a_cancelled_upload_takes_nothing_and_leaves_nothing(
    real: openai.OpenAI, client: TestClient, work: Callable[[], None], tmp_path: Path
) -> None:
    upload = begin(client)
    ids = send_all(client, upload)
    assert real.uploads.cancel(upload).status == "cancelled"
    assert real.uploads.cancel(upload).status == "cancelled"
    for late in (send(client, upload, PARTS[0]), complete(client, upload, ids)):
        assert "was cancelled" in error_of(late, 409)["message"]
        assert late.headers["x-should-retry"] == "false"
    work()
    assert stored(tmp_path) == []
    assert client.get(f"/v1/uploads/{upload}").json()["status"] == "cancelled"


def test_each_part_gives_an_upload_its_time_again(client: TestClient) -> None:
    upload = begin(client)
    with transaction() as session:
        soon = func.clock_timestamp() + timedelta(minutes=1)
        session.execute(update(Upload).where(Upload.id == upload).values(expires_at=soon))
    part = send(client, upload, PARTS[0]).raise_for_status().json()
    expires_at = client.get(f"/v1/uploads/{upload}").json()["expires_at"]
    assert expires_at - part["created_at"] in {3600, 3601}


def test_an_upload_expires_and_its_parts_go(
    client: TestClient, settings_from: Callable[..., None], tmp_path: Path
) -> None:
    settings_from(upload_hours=2)
    upload, kept = begin(client), begin(client)
    found = client.get(f"/v1/uploads/{upload}").json()
    assert found["expires_at"] - found["created_at"] == 7200
    ids = send_all(client, upload)
    send(client, kept, PARTS[0]).raise_for_status()
    with transaction() as session:
        assert not removals.pending(session)
    make_late(upload)
    assert client.get(f"/v1/uploads/{upload}").json()["status"] == "expired"
    for late in (send(client, upload, PARTS[0]), complete(client, upload, ids)):
        assert "has expired" in error_of(late, 409)["message"]
    assert len(pruning.plan()) == len(PARTS)
    with transaction() as session:
        assert removals.pending(session)
    assert removals.remove_all() == 0
    assert len(stored(tmp_path)) == 1
    with transaction() as session:
        assert not removals.pending(session)
        assert session.scalars(select(UploadPart.upload_id)).all() == [kept]
        actions = select(AuditEntry.action).where(AuditEntry.object_id == upload)
        assert session.scalars(actions.order_by(AuditEntry.at)).all() == ["created", "pruned"]
        old = func.clock_timestamp() - ended_uploads.KEPT
        session.execute(update(Upload).where(Upload.id == upload).values(erased_at=old))
    with transaction() as session:
        ended_uploads.forget_old(session)
    assert client.get(f"/v1/uploads/{upload}").status_code == 404
