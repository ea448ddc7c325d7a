"""The scope of each operation in the OpenAPI document; a key without it is refused."""

from typing import Any

import pytest
from fastapi.routing import APIRoute
from fastapi.testclient import TestClient

from api import document
from api.app import create_app
from services.access import api_keys
from services.access.callers import Scope
from services.platform.database import transaction
from tests import records

# Every route that checks no key is listed here with a reason.
PUBLIC = {
    ("GET", "/healthz"),  # used by supervisors, which have no key
    ("GET", "/readyz"),
    ("POST", "/v1/session"),  # takes the key, or a link, in its body
    ("GET", "/v1/session"),  # reads the cookie
    ("DELETE", "/v1/session"),
}
TABLE = document.scopes(create_app())
# Operations that use an engine, and operations on its answers.
OF_CHAT = {
    ("POST", "/v1/chat/completions"),
    ("POST", "/v1/comparisons"),
    ("POST", "/v1/comparisons/{comparison_id}/stop"),
}
# All that a rater's key may do.
OF_VOTE = {
    ("POST", "/v1/comparisons/{comparison_id}/vote"),
    ("DELETE", "/v1/comparisons/{comparison_id}/vote"),
    ("POST", "/v1/evaluations/{evaluation_id}/cards/next"),
    ("POST", "/v1/evaluations/{evaluation_id}/cards/reveal"),
}


def test_only_these_operations_are_public() -> None:
    public = {(method, path) for scope, method, path in TABLE if scope == document.PUBLIC}
    assert public == PUBLIC
    assert {scope for scope, *_ in TABLE} <= {document.PUBLIC, *Scope}


def test_keys_that_only_read_let_no_engine_work() -> None:
    """Every operation with the scope `read` is a GET."""
    assert {(method, path) for scope, method, path in TABLE if scope == "chat"} == OF_CHAT
    assert {method for scope, method, _ in TABLE if scope == Scope.READ} == {"GET"}


def test_these_operations_need_the_scope_vote() -> None:
    assert {(method, path) for scope, method, path in TABLE if scope == "vote"} == OF_VOTE


def test_every_route_of_the_application_is_in_the_document() -> None:
    routes = create_app().routes
    hidden = [each for each in routes if isinstance(each, APIRoute) and not each.include_in_schema]
    assert hidden == []
    # No other application is mounted; the document is the only plain route.
    plain = [getattr(each, "path", "") for each in routes if not isinstance(each, APIRoute)]
    assert plain == ["/openapi.json"]


def test_a_new_route_without_a_check_shows() -> None:
    app = create_app()

    @app.get("/v1/secrets", tags=["x"], summary="x")
    def read() -> dict[str, Any]:
        return {}

    assert ("public", "GET", "/v1/secrets") in document.scopes(app)


@pytest.mark.parametrize("row", [row for row in TABLE if row[0] != document.PUBLIC], ids=" ".join)
def test_a_key_of_every_other_scope_is_refused(client: TestClient, row: tuple[str, ...]) -> None:
    """The key has all scopes except this one."""
    scope, method, path = row
    with transaction() as session:
        caller = records.caller(session, "others")
        record, text = api_keys.create(session, caller, "n", list(Scope))
        # `write` includes `chat`, and `chat` includes `vote`.
        including = {Scope.CHAT: {Scope.WRITE}, Scope.VOTE: {Scope.WRITE, Scope.CHAT}}
        record.scopes = sorted(set(Scope) - {scope} - including.get(Scope(scope), set()))
    address = path.replace("{", "").replace("}", "")
    answer = client.request(method, address, headers={"Authorization": f"Bearer {text}"}, json={})
    assert answer.status_code == 403, answer.text
    assert answer.json()["error"]["code"] == "insufficient_scope"
    assert client.request(method, address, headers={"Authorization": ""}).status_code == 401


@pytest.mark.parametrize("row", [row for row in TABLE if row[0] != document.PUBLIC], ids=" ".join)
def test_a_rater_may_only_vote(client: TestClient, row: tuple[str, ...]) -> None:
    """An object of a rater's evaluation does not exist here, so what is allowed is a 404."""
    scope, method, path = row
    with transaction() as session:
        caller = records.caller(session, "others")
        evaluation_id = records.evaluation(session, caller).id
        text = api_keys.create(session, caller, "Ada", [Scope.VOTE], evaluation_id)[1]
    address = path.replace("{", "").replace("}", "")
    body = {"choice": "a"} if path.endswith("/vote") else {}
    headers = {"Authorization": f"Bearer {text}"}
    answer = client.request(method, address, headers=headers, json=body)
    if (method, path) in OF_VOTE:
        assert (answer.status_code, scope) == (404, Scope.VOTE), answer.text
        return
    assert answer.status_code == 403, answer.text
    error = answer.json()["error"]
    assert error["code"] == "insufficient_scope"
    assert "only for voting on the cards of one evaluation" in error["message"]
