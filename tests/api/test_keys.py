"""Access: missing, wrong and revoked keys, scopes, and the last key."""

import pytest
from fastapi.testclient import TestClient
from sqlalchemy import select

from models import ApiKey
from services.access import api_keys
from services.platform.database import transaction
from tests.api.conftest import KEY


def as_bearer(key: str) -> dict[str, str]:
    return {"Authorization": f"Bearer {key}"}


def make(client: TestClient, *scopes: str) -> dict[str, str]:
    response = client.post("/v1/api_keys", json={"name": "n", "scopes": scopes})
    return response.raise_for_status().json()


@pytest.mark.parametrize(
    ("headers", "code"),
    [
        ({"Authorization": ""}, "missing_api_key"),
        ({"Authorization": "Basic eDp5"}, "missing_api_key"),
        ({"Authorization": "Bearer sk-odd-wrong"}, "invalid_api_key"),
        ({"Authorization": "Bearer \xff\xfe".encode("latin-1")}, "invalid_api_key"),
    ],
)
def test_without_a_good_key(client: TestClient, headers: dict[str, str], code: str) -> None:
    for path in ("/v1/files", "/v1/models", "/v1/fine_tuning/jobs", "/v1/api_keys"):
        response = client.get(path, headers=headers)
        assert response.status_code == 401
        assert response.json()["error"]["code"] == code
        assert response.headers["www-authenticate"] == "Bearer"


def test_health_needs_no_key(client: TestClient) -> None:
    assert client.get("/healthz", headers={"Authorization": ""}).status_code == 200


def test_a_key_is_shown_once_and_stored_hashed(client: TestClient) -> None:
    made = make(client, "read")
    assert made["key"].startswith("sk-odd-")
    assert len(made["key"]) == len("sk-odd-") + 40
    listed = client.get("/v1/api_keys").json()["data"]
    assert listed[0]["id"] == made["id"]
    assert all("key" not in key for key in listed)
    with transaction() as session:
        record = session.scalars(select(ApiKey).where(ApiKey.id == made["id"])).one()
    assert made["key"] not in str(vars(record))
    assert record.sha256 == api_keys.digest(made["key"])


def test_no_cache_may_keep_an_answer(client: TestClient) -> None:
    """This matters most for new keys, sign-in links and sessions."""
    link = client.post("/v1/session/links")
    token = link.json()["path"].partition("token=")[2]
    answers = [
        client.post("/v1/api_keys", json={"name": "n"}),
        link,
        client.post("/v1/session", json={"token": token}),
        client.get("/v1/session"),
        client.delete("/v1/session", headers={"Origin": "http://testserver"}),
        client.get("/v1/api_keys"),
        client.get("/v1/files/file-none"),
    ]
    assert [each.headers["cache-control"] for each in answers] == ["no-store"] * len(answers)


def test_scopes(client: TestClient) -> None:
    reader, writer = make(client, "read"), make(client, "write")
    assert writer["scopes"] == ["vote", "read", "chat", "write"]
    pair = b'{"prompt": "p", "chosen": "a", "rejected": "b"}\n'
    form = {"files": {"file": ("a.jsonl", pair)}, "data": {"purpose": "fine-tune"}}
    for made, upload, keys in ((reader, 403, 403), (writer, 200, 403)):
        headers = as_bearer(made["key"])
        assert client.get("/v1/files", headers=headers).status_code == 200
        assert client.post("/v1/files", headers=headers, **form).status_code == upload
        denied = client.get("/v1/api_keys", headers=headers)
        assert denied.status_code == keys
        assert denied.json()["error"]["code"] == "insufficient_scope"


def test_a_key_chats_if_it_has_the_scope_or_could_write_before_there_was_one(
    client: TestClient,
) -> None:
    chat = {"model": "m", "messages": [{"role": "user", "content": "?"}]}
    reader, talker, writer = (make(client, scope) for scope in ("read", "chat", "write"))
    assert talker["scopes"] == ["vote", "read", "chat"]
    with transaction() as session:
        session.get_one(ApiKey, writer["id"]).scopes = ["read", "write"]
    for key, status in ((reader, 403), (talker, 404), (writer, 404)):
        answer = client.post("/v1/chat/completions", json=chat, headers=as_bearer(key["key"]))
        assert answer.status_code == status
    listed = {key["id"]: key["scopes"] for key in client.get("/v1/api_keys").json()["data"]}
    assert listed[writer["id"]] == ["vote", "read", "chat", "write"]
    assert client.get("/v1/files", headers=as_bearer(talker["key"])).status_code == 200


def test_a_revoked_key_is_refused_at_once(client: TestClient) -> None:
    made = make(client, "read")
    assert client.get("/v1/files", headers=as_bearer(made["key"])).status_code == 200
    assert client.delete(f"/v1/api_keys/{made['id']}").json()["deleted"] is True
    assert client.get("/v1/files", headers=as_bearer(made["key"])).status_code == 401
    assert client.delete(f"/v1/api_keys/{made['id']}").status_code == 404


def test_the_last_admin_key_stays(client: TestClient) -> None:
    first = client.get("/v1/api_keys").json()["data"][0]
    response = client.delete(f"/v1/api_keys/{first['id']}")
    assert response.status_code == 409
    assert response.json()["error"]["code"] == "last_admin_key"
    other = make(client, "admin")
    assert client.delete(f"/v1/api_keys/{first['id']}").status_code == 200
    assert client.get("/v1/files", headers=as_bearer(KEY)).status_code == 401
    assert client.get("/v1/files", headers=as_bearer(other["key"])).status_code == 200
