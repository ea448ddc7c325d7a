"""A browser's sign-in: by key or by a link that works once, and only from our own pages."""

from collections.abc import Iterator
from datetime import UTC, datetime

import pytest
from fastapi.testclient import TestClient
from sqlalchemy import update

from api.app import create_app
from models import SignIn
from services.platform.database import transaction
from tests.api.conftest import KEY

OURS = {"Origin": "http://testserver"}


@pytest.fixture
def browser(product: None) -> Iterator[TestClient]:
    """A client without a key, like a browser that is not signed in."""
    with TestClient(create_app()) as client:
        yield client


@pytest.fixture
def signed_in(browser: TestClient) -> TestClient:
    answer = browser.post("/v1/session", json={"api_key": KEY}, headers=OURS)
    assert answer.status_code == 200, answer.text
    return browser


def test_a_key_signs_a_browser_in_and_its_text_comes_back_nowhere(signed_in):
    who = signed_in.get("/v1/session").json()
    assert who["scopes"] == ["vote", "read", "chat", "write", "admin"]
    assert KEY not in signed_in.get("/v1/session").text
    assert signed_in.get("/v1/models").status_code == 200


def test_the_cookie_is_out_of_reach_of_scripts_and_of_other_sites(browser):
    answer = browser.post("/v1/session", json={"api_key": KEY}, headers=OURS)
    cookie = answer.headers["set-cookie"]
    assert "HttpOnly" in cookie
    assert "SameSite=strict" in cookie
    assert KEY not in cookie


@pytest.mark.parametrize(
    "origin", [None, "http://evil.example", "http://testserver:81", "http://[::1", "null"]
)
def test_what_changes_something_must_come_from_our_own_page(signed_in, origin):
    headers = {"Origin": origin} if origin else {}
    answer = signed_in.post("/v1/api_keys", json={"name": "x"}, headers=headers)
    assert answer.status_code == 403
    assert answer.json()["error"]["code"] == "wrong_origin"
    assert signed_in.post("/v1/api_keys", json={"name": "x"}, headers=OURS).status_code == 200


@pytest.mark.parametrize("body", [{}, {"api_key": KEY, "token": "x"}, {"api_key": "wrong"}])
def test_a_sign_in_that_is_refused(browser, body):
    answer = browser.post("/v1/session", json=body, headers=OURS)
    assert answer.status_code in (400, 401)
    assert "set-cookie" not in answer.headers


def test_a_link_works_once(client, browser):
    link = client.post("/v1/session/links").json()
    token = link["path"].removeprefix("/sign-in?token=")
    assert browser.get("/v1/session").status_code == 401
    assert browser.post("/v1/session", json={"token": token}, headers=OURS).status_code == 200
    assert browser.get("/v1/session").status_code == 200
    again = browser.post("/v1/session", json={"token": token}, headers=OURS)
    assert again.status_code == 401
    assert again.json()["error"]["code"] == "link_used"


def test_a_link_is_not_a_cookie(client, browser):
    token = client.post("/v1/session/links").json()["path"].removeprefix("/sign-in?token=")
    browser.cookies.set("oddsmith_session", token)
    assert browser.get("/v1/models").status_code == 401


def test_a_sign_in_ends_by_signing_out_by_time_and_with_its_key(client, signed_in):
    made = client.post("/v1/api_keys", json={"name": "other", "scopes": ["read"]}).json()
    with TestClient(create_app()) as other:
        other.post("/v1/session", json={"api_key": made["key"]}, headers=OURS)
        assert other.get("/v1/models").status_code == 200
        assert other.post("/v1/session/links", headers=OURS).status_code == 403
        client.delete(f"/v1/api_keys/{made['id']}")
        assert other.get("/v1/models").json()["error"]["code"] == "signed_out"
    with transaction() as session:
        session.execute(update(SignIn).values(expires_at=datetime.now(UTC)))
    assert signed_in.get("/v1/models").status_code == 401
    signed_in.post("/v1/session", json={"api_key": KEY}, headers=OURS)
    assert signed_in.get("/v1/models").status_code == 200
    assert signed_in.delete("/v1/session", headers=OURS).json()["deleted"] is True
    assert signed_in.get("/v1/models").status_code == 401
