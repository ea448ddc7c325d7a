"""Webhooks by REST: what is accepted, the secret that is shown once, and the log of deliveries."""

import logging
from collections.abc import Callable
from typing import Any

import pytest
from fastapi.testclient import TestClient
from openai.types.webhooks.webhook_endpoint import WebhookEndpoint
from openai.types.webhooks.webhook_endpoint_with_secret import WebhookEndpointWithSecret
from sqlalchemy import select, text

from models import Job, Webhook, WebhookDelivery
from models.jobs import JobState
from services.access.callers import Caller
from services.files import seed
from services.jobs import jobs
from services.platform.database import transaction
from services.webhooks.webhooks import MOST
from tests import records
from tests.api.sent_files import error_of

KEY = "a-key-of-the-operator-with-more-than-32-characters"
OWNER = Caller(seed.ORG_ID, None, records.SCOPES)
WEBHOOK = {
    "name": "ours",
    "url": "http://127.0.0.1:9/hooks?token=t-5f1c",
    "event_types": ["fine_tuning.job.succeeded", "fine_tuning.job.cancelled"],
}
Set = Callable[..., None]


@pytest.fixture
def allowed(product: None, settings_from: Set) -> None:
    """The operator allows this machine's own addresses, and has set a key to sign with."""
    settings_from(egress_allow="127.0.0.1", webhook_secret=KEY)


def add(client: TestClient, **changes: Any) -> Any:
    return client.post("/v1/webhooks", json=WEBHOOK | changes)


def cancel_a_job() -> str:
    with transaction() as session:
        job = records.job(session, OWNER, JobState.QUEUED)
        return jobs.cancel(session, OWNER, job.id).id


def test_a_webhook_is_added_listed_and_deleted(client: TestClient, allowed: None) -> None:
    answer = add(client).raise_for_status()
    made = answer.json()
    known = WebhookEndpointWithSecret.model_validate_json(answer.content, strict=True)
    assert (known.url, known.event_types) == (WEBHOOK["url"], WEBHOOK["event_types"])
    secret = made.pop("signing_secret")
    assert made["signing_secret_hint"] == f"whsec_…{secret[-4:]}"
    other = add(client, name="other", event_types=["eval.run.canceled"]).json()
    assert other["signing_secret"] != secret
    path = f"/v1/webhooks/{made['id']}"
    assert client.get(path).json() == made
    assert WebhookEndpoint.model_validate_json(client.get(path).content, strict=True)
    listed = client.get("/v1/webhooks").json()["data"]
    assert [webhook["id"] for webhook in listed] == [other["id"], made["id"]]
    cancel_a_job()
    assert client.delete(path).json() == {
        "id": made["id"],
        "object": "webhook_endpoint.deleted",
        "deleted": True,
    }
    assert error_of(client.get(path), 404)["param"] == "webhook_id"
    assert error_of(client.get(f"{path}/deliveries"), 404)["param"] == "webhook_id"
    entries = client.get("/v1/audit_log", params={"object_id": made["id"]}).json()["data"]
    assert [entry["action"] for entry in entries] == ["deleted", "created"]
    assert "t-5f1c" not in str(entries)  # a token of the receiver


@pytest.mark.parametrize(
    ("changes", "param"),
    [
        ({"url": "127.0.0.1/hooks"}, "url"),
        ({"url": "ftp://127.0.0.1/hooks"}, "url"),
        ({"url": "http://user:word@127.0.0.1:9/hooks"}, "url"),
        ({"url": "http://127.0.0.1:9/hooks#here"}, "url"),
        ({"url": "http://[::1/hooks"}, "url"),
        ({"url": "http://127.0.0.1:99999/hooks"}, "url"),
        ({"url": "http://127.0.0.1:9/ho oks"}, "url"),
        ({"url": "http://127.0.0.1:9/hooks\x01"}, "url"),
        ({"url": "http://bücher.example/"}, "url"),
        ({"url": f"http://127.0.0.1/{'a' * 2000}"}, "url"),
        ({"url": "http://10.1.2.3/hooks"}, "url"),
        ({"url": "http://[::1]/hooks"}, "url"),
        ({"url": "http://169.254.169.254/hooks"}, "url"),
        ({"url": "http://no-such-host.invalid/hooks"}, "url"),
        ({"event_types": []}, "event_types"),
        ({"event_types": ["batch.completed"]}, "event_types.0"),
        ({"name": ""}, "name"),
        ({"secret": "s"}, "secret"),
    ],
)
def test_what_no_webhook_can_be_is_refused_by_field(
    client: TestClient, allowed: None, changes: dict[str, Any], param: str
) -> None:
    assert error_of(add(client, **changes), 400)["param"] == param


def test_without_a_key_to_sign_with_the_operator_is_asked(
    client: TestClient, settings_from: Set
) -> None:
    settings_from(egress_allow="127.0.0.1", webhook_secret="too short")
    error = error_of(add(client), 503)
    assert error["code"] == "no_webhook_secret"
    assert "ODDSMITH_WEBHOOK_SECRET" in error["message"]
    assert client.get("/v1/webhooks").json()["data"] == []


def test_an_organisation_has_a_limited_number(client: TestClient, allowed: None) -> None:
    for _ in range(MOST):
        add(client).raise_for_status()
    assert error_of(add(client), 409)["code"] == "too_many_webhooks"


def test_webhooks_of_others_are_not_there(client: TestClient, allowed: None, stranger: str) -> None:
    webhook_id = add(client).json()["id"]
    cancel_a_job()
    with transaction() as session:
        delivery_id = session.scalars(select(WebhookDelivery.id)).one()
    as_stranger = {"Authorization": f"Bearer {stranger}"}
    theirs = client.post("/v1/webhooks", json=WEBHOOK, headers=as_stranger).json()["id"]
    assert len(client.get("/v1/webhooks", headers=as_stranger).json()["data"]) == 1
    log = f"/v1/webhooks/{webhook_id}/deliveries"
    for method, path in (
        ("GET", f"/v1/webhooks/{webhook_id}"),
        ("DELETE", f"/v1/webhooks/{webhook_id}"),
        ("GET", log),
        ("POST", f"{log}/{delivery_id}/retry"),
        # Their own webhook does not lead to our deliveries.
        ("POST", f"/v1/webhooks/{theirs}/deliveries/{delivery_id}/retry"),
    ):
        assert client.request(method, path, headers=as_stranger).status_code == 404, path
    # What ends here is not told there.
    assert client.get(f"/v1/webhooks/{theirs}/deliveries", headers=as_stranger).json()["data"] == []


def test_deliveries_are_listed_and_sent_again(client: TestClient, allowed: None) -> None:
    webhook_id = add(client).json()["id"]
    path = f"/v1/webhooks/{webhook_id}/deliveries"
    first, second = cancel_a_job(), cancel_a_job()
    listed = client.get(path).json()["data"]
    assert [delivery["object_id"] for delivery in listed] == [second, first]
    newest = listed[0]
    assert (newest["status"], newest["attempts"], newest["last_status_code"]) == (
        "pending",
        0,
        None,
    )
    assert newest["event_type"] == "fine_tuning.job.cancelled"
    assert client.get(path, params={"after": newest["id"]}).json()["data"] == listed[1:]
    with transaction() as session:
        stored = session.get_one(WebhookDelivery, newest["id"])
        stored.status, stored.next_attempt_at, stored.last_status_code = "failed", None, 500
        finished_at = session.get_one(Job, second).finished_at
    assert finished_at is not None
    assert abs(newest["created_at"] - finished_at.timestamp()) < 5
    again = client.post(f"{path}/{newest['id']}/retry").json()
    assert (again["id"], again["status"]) == (newest["id"], "pending")
    assert again["next_attempt_at"] is not None
    assert error_of(client.post(f"{path}/whdel-0/retry"), 404)["param"] == "delivery_id"
    with transaction() as session:
        session.get_one(Webhook, webhook_id).disabled_at = finished_at
    error = error_of(client.post(f"{path}/{newest['id']}/retry"), 409)
    assert error["code"] == "webhook_disabled"
    assert client.get(f"/v1/webhooks/{webhook_id}").json()["disabled_at"] is not None


def test_the_secret_is_nowhere_but_in_one_answer(
    client: TestClient, allowed: None, caplog: pytest.LogCaptureFixture
) -> None:
    caplog.set_level(logging.DEBUG)
    secret = add(client).json()["signing_secret"]
    answers = [client.get("/v1/webhooks").text, client.get("/v1/audit_log").text]
    with transaction() as session:
        tables = session.scalars(
            text("SELECT tablename FROM pg_tables WHERE schemaname = 'public'")
        ).all()
        stored = [session.scalars(text(f"SELECT t::text FROM {name} t")).all() for name in tables]
    everywhere = repr(stored) + "".join(answers) + caplog.text
    assert WEBHOOK["name"] in everywhere
    assert secret.removeprefix("whsec_") not in everywhere
    assert KEY not in everywhere
