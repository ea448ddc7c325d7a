"""Deep audits over HTTP: stored as jobs, with paths of their own below their file."""

import json

import pytest
from fastapi.testclient import TestClient

from models.jobs import JobState, Purpose
from services.access.callers import Caller
from services.files import seed
from services.platform.database import transaction
from tests import records
from tests.records import AUDITED, JUDGED

CALLER = Caller(seed.ORG_ID, None, records.SCOPES)
JOBS = "/v1/fine_tuning/jobs"


@pytest.fixture
def file_id(product: None) -> str:
    with transaction() as session:
        return records.file(session, CALLER).id


@pytest.fixture
def base_id(product: None) -> str:
    with transaction() as session:
        return records.base_model(session, CALLER).id


@pytest.fixture
def audits(file_id: str) -> str:
    return f"/v1/files/{file_id}/deep_audits"


def test_an_audit_is_asked_for_and_is_no_job(
    client: TestClient, audits: str, file_id: str, base_id: str
) -> None:
    made = client.post(audits, json={"model": base_id, "seed": 3}).json()
    assert (made["object"], made["status"]) == ("file.deep_audit", "validating_files")
    assert (made["file_id"], made["seed"], made["result"]) == (file_id, 3, None)
    assert client.get(f"{audits}/{made['id']}").json() == made
    assert client.get(audits).json()["data"] == [made]
    assert client.get(f"{JOBS}/{made['id']}").status_code == 404
    assert client.get(f"{JOBS}/estimate/{made['id']}").status_code == 404
    assert client.get(JOBS).json()["data"] == []


def test_all_pairs_of_the_file_are_judged(client: TestClient, audits: str, base_id: str) -> None:
    audit_id = client.post(audits, json={"model": base_id}).json()["id"]
    with transaction() as session:
        method = session.get_one(records.Job, audit_id).method
    assert (method["type"], method["held_out_fraction"]) == ("dpo", 0.0)


def test_an_audit_shows_what_was_found_and_its_pairs(
    client: TestClient, audits: str, file_id: str
) -> None:
    with transaction() as session:
        audit_id = records.deep_audit(session, CALLER, file_id).id
    found = client.get(f"{audits}/{audit_id}").json()
    assert (found["status"], found["result"]) == ("succeeded", AUDITED)
    pairs = client.get(f"{audits}/{audit_id}/pairs").json()
    assert (pairs["data"], pairs["total"], pairs["has_more"]) == (JUDGED, 2, False)
    later = client.get(f"{audits}/{audit_id}/pairs", params={"offset": 1}).json()
    assert (later["data"], later["offset"]) == (JUDGED[1:], 1)
    (result,) = found["result_files"]
    lines = client.get(f"/v1/files/{result}/content").text.splitlines()
    assert list(map(json.loads, lines)) == JUDGED


def test_an_audit_is_found_under_its_own_file_alone(client: TestClient, file_id: str) -> None:
    with transaction() as session:
        audit_id = records.deep_audit(session, CALLER, file_id).id
        other = records.file(session, CALLER).id
    for path in (audit_id, f"{audit_id}/pairs"):
        answer = client.get(f"/v1/files/{other}/deep_audits/{path}")
        assert (answer.status_code, answer.json()["error"]["param"]) == (404, "audit_id")
    assert client.get(f"/v1/files/{other}/deep_audits").json()["data"] == []


def test_audits_of_another_organisation_are_not_found(client: TestClient) -> None:
    with transaction() as session:
        stranger = records.caller(session, "stranger")
        file_id = records.file(session, stranger).id
        audit_id = records.deep_audit(session, stranger, file_id).id
    audits = f"/v1/files/{file_id}/deep_audits"
    for path in (audits, f"{audits}/{audit_id}", f"{audits}/{audit_id}/pairs"):
        assert client.get(path).status_code == 404
    assert client.post(f"{audits}/{audit_id}/cancel").status_code == 404
    assert client.delete(f"{audits}/{audit_id}").status_code == 404


def test_pairs_are_asked_for_too_early(client: TestClient, audits: str, base_id: str) -> None:
    audit_id = client.post(audits, json={"model": base_id}).json()["id"]
    refused = client.get(f"{audits}/{audit_id}/pairs")
    assert (refused.status_code, refused.json()["error"]["code"]) == (409, "audit_not_ready")


@pytest.mark.parametrize(
    ("body", "param"), [({"model": "gpt-7"}, "model"), ({"model": "m", "seed": -1}, "seed")]
)
def test_a_bad_audit_names_its_field(
    client: TestClient, audits: str, body: dict[str, object], param: str
) -> None:
    refused = client.post(audits, json=body)
    assert (refused.status_code, refused.json()["error"]["param"]) == (400, param)


def test_a_file_without_rejected_answers_is_refused(client: TestClient, base_id: str) -> None:
    report = {"rows": 8, "accepted": 8, "dropped": {}, "shapes": {"messages": 8}}
    with transaction() as session:
        file_id = records.file(session, CALLER, report=report).id
    refused = client.post(f"/v1/files/{file_id}/deep_audits", json={"model": base_id})
    assert refused.status_code == 400
    assert refused.json()["error"]["param"] == "training_file"


def test_an_audit_is_cancelled_and_deleted(client: TestClient, audits: str, base_id: str) -> None:
    made = client.post(audits, json={"model": base_id}).json()
    path = f"{audits}/{made['id']}"
    assert client.delete(path).status_code == 409
    assert client.post(f"{path}/cancel").json()["status"] == "cancelled"
    assert client.delete(path).json()["object"] == "file.deep_audit"
    assert client.get(path).status_code == 404


def test_a_running_audit_shows_how_far_it_is(client: TestClient, audits: str, file_id: str) -> None:
    progress = {"step": 3, "steps": 12, "eta_s": 40.5}
    with transaction() as session:
        audit_id = records.job(
            session, CALLER, JobState.QUEUED, purpose=Purpose.DEEP_AUDIT,
            training_file=file_id, progress=progress,
        ).id  # fmt: skip
    assert client.get(f"{audits}/{audit_id}").json()["progress"] == progress
