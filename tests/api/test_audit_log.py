"""The audit log stores who did what and when; entries can't be changed."""

import pytest
from fastapi.testclient import TestClient
from sqlalchemy import select, text
from sqlalchemy.exc import ProgrammingError
from typer.testing import CliRunner

from cli.main import app
from models import AuditEntry, Comparison
from models.jobs import JobState
from services.access.callers import Caller
from services.files import seed
from services.platform.database import transaction
from services.serving import comparisons
from tests import records
from tests.api.conftest import KEY
from tests.api.sent_files import PAIRS, jsonl, post

CALLER = Caller(seed.ORG_ID, None, records.SCOPES)


def entries(client: TestClient, **query: str) -> list[tuple[str, str]]:
    """(action, kind of object) of each entry, oldest first."""
    found = client.get("/v1/audit_log", params={"order": "asc", "limit": 100, **query}).json()
    return [(entry["action"], entry["object_type"]) for entry in found["data"]]


def test_each_act_leaves_an_entry_with_its_key_and_request(client: TestClient):
    answer = post(client, jsonl(PAIRS))
    file_id = answer.json()["id"]
    client.get(f"/v1/files/{file_id}/content").raise_for_status()
    client.delete(f"/v1/files/{file_id}").raise_for_status()
    key = client.post("/v1/api_keys", json={"name": "ci", "scopes": ["write"]}).json()
    client.delete(f"/v1/api_keys/{key['id']}").raise_for_status()
    client.post("/v1/session/links").raise_for_status()
    with transaction() as session:
        job = records.job(session, CALLER, JobState.QUEUED)
        session.add(Comparison(id="cmp-1", org_id=CALLER.org_id, sides=[], held_out=None))
    for verb in ("pause", "resume", "cancel"):
        client.post(f"/v1/fine_tuning/jobs/{job.id}/{verb}").raise_for_status()
    deployed = client.post("/v1/deployments", json={"model": job.base_model}).json()["id"]
    client.post("/v1/deployments", json={"model": job.base_model}).raise_for_status()
    client.delete(f"/v1/deployments/{deployed}").raise_for_status()
    client.delete(f"/v1/models/{job.base_model}").raise_for_status()
    client.delete(f"/v1/fine_tuning/jobs/{job.id}").raise_for_status()
    client.delete("/v1/comparisons/cmp-1").raise_for_status()
    assert entries(client) == [
        ("created", "file"),
        ("exported", "file"),
        ("deleted", "file"),
        ("created", "api_key"),
        ("revoked", "api_key"),
        ("created", "sign_in"),
        ("paused", "job"),
        ("resumed", "job"),
        ("cancelled", "job"),
        ("deployed", "deployment"),
        ("undeployed", "deployment"),
        ("deleted", "model"),
        ("deleted", "job"),
        ("deleted", "comparison"),
    ]
    assert len(entries(client, object_id=file_id)) == 3
    first = client.get("/v1/audit_log", params={"order": "asc", "limit": 1}).json()
    assert first["has_more"]
    (entry,) = first["data"]
    assert entry["request_id"] == answer.headers["x-request-id"]
    assert entry["api_key_id"].startswith("key-")
    assert KEY not in client.get("/v1/audit_log").text
    assert key["key"] not in client.get("/v1/audit_log").text


def test_what_was_refused_leaves_none(client: TestClient):
    assert client.delete("/v1/files/file-1").status_code == 404
    with transaction() as session:
        session.add(Comparison(id="cmp-1", org_id=CALLER.org_id, sides=[], held_out=None))
        session.flush()
        comparisons.delete(session, CALLER, "cmp-1")
        session.rollback()
    assert entries(client) == []


@pytest.mark.parametrize(
    "statement",
    [
        "UPDATE audit_log SET action = 'created'",
        "DELETE FROM audit_log",
        "TRUNCATE audit_log",
    ],
)
def test_the_log_can_only_be_added_to(client: TestClient, statement: str):
    post(client, jsonl(PAIRS))
    with pytest.raises(ProgrammingError, match="can only be added to"), transaction() as session:
        session.execute(text(statement))
    assert entries(client) == [("created", "file")]


def test_it_is_for_administrators(client: TestClient):
    key = client.post("/v1/api_keys", json={"name": "ci", "scopes": ["write"]}).json()["key"]
    headers = {"Authorization": f"Bearer {key}"}
    for path in ("/v1/audit_log", "/v1/storage"):
        assert client.get(path, headers=headers).status_code == 403


def test_another_organisation_s_entries_are_not_seen(client: TestClient):
    with transaction() as session:
        other = records.caller(session, "other")
        session.add(Comparison(id="cmp-1", org_id=other.org_id, sides=[], held_out=None))
        session.flush()
        comparisons.delete(session, other, "cmp-1")
    assert entries(client) == []
    with transaction() as session:
        assert session.scalars(select(AuditEntry)).one().org_id == other.org_id


def test_the_command_lists_them(client: TestClient, monkeypatch: pytest.MonkeyPatch):
    post(client, jsonl(PAIRS))

    class Connected:
        def items(self, path: str, limit: int, **params: str | None):
            query = {name: value for name, value in params.items() if value is not None}
            return client.get(path, params={"limit": limit, **query}).json()["data"]

    monkeypatch.setattr("cli.commands.audit_log.connect", Connected)
    done = CliRunner().invoke(app, ["audit"])
    assert done.exit_code == 0, done.output
    assert "created file" in done.output
