"""Every error is OpenAI's object with all four fields; every answer has a request id."""

import errno
import logging
from collections.abc import Callable
from typing import Any

import openai
import psycopg
import pytest
from fastapi.testclient import TestClient
from sqlalchemy.exc import OperationalError

from api.app import create_app
from services.platform import errors
from services.platform.errors import OddsmithError


def error_of(response: Any, status: int) -> dict[str, Any]:
    assert response.status_code == status, response.text
    error = response.json()["error"]
    assert error.keys() == {"message", "type", "param", "code"}
    assert response.headers["x-request-id"].startswith("req_")
    return error


def raising(error: Exception) -> TestClient:
    """A client of an application whose route `/boom` raises `error`."""
    app = create_app()

    @app.get("/boom")
    def boom() -> None:
        raise error

    return TestClient(app)


@pytest.mark.parametrize(
    ("error", "status", "kind"),
    [
        (errors.Invalid("No."), 400, "invalid_request_error"),
        (errors.NotFound("No."), 404, "invalid_request_error"),
        (errors.Conflict("No."), 409, "invalid_request_error"),
        (errors.Mismatch("No."), 422, "invalid_request_error"),
        (errors.TooLarge("No."), 413, "invalid_request_error"),
        (errors.Unauthenticated("No."), 401, "authentication_error"),
        (errors.Denied("No."), 403, "permission_error"),
        (errors.Unavailable("No."), 503, "service_unavailable"),
        (errors.DiskFull("No."), 507, "server_error"),
    ],
)
def test_errors_of_the_product(error: OddsmithError, status: int, kind: str) -> None:
    error.param = "field"
    response = raising(error).get("/boom")
    assert error_of(response, status) == {
        "message": "No.",
        "type": kind,
        "param": "field",
        "code": error.default_code,
    }
    assert response.headers.get("x-should-retry") == ("false" if status in (409, 507) else None)
    assert response.headers.get("retry-after") == ("2" if status == 503 else None)


def test_a_database_that_is_down_is_503() -> None:
    response = raising(OperationalError("SELECT", {}, Exception("gone"))).get("/boom")
    assert error_of(response, 503)["code"] == "unavailable"


@pytest.mark.parametrize(
    ("error", "whose"),
    [
        (OSError(errno.ENOSPC, "No space left on device"), "uploads"),
        (OSError(errno.EDQUOT, "Disk quota exceeded"), "uploads"),
        (OperationalError("INSERT", {}, psycopg.errors.DiskFull("could not extend")), "database"),
    ],
)
def test_a_full_disk_is_507_and_says_what_to_do(error: Exception, whose: str) -> None:
    found = error_of(raising(error).get("/boom"), 507)
    assert found["code"] == "disk_full"
    assert whose in found["message"]
    assert "free some space" in found["message"]


def test_what_else_the_system_says_is_nobody_s_fault() -> None:
    error_of(raising(OSError(errno.EIO, "Input/output error")).get("/boom"), 500)


def test_what_nobody_expected_is_500_and_says_nothing_of_its_cause(
    caplog: pytest.LogCaptureFixture,
) -> None:
    with caplog.at_level(logging.INFO):
        response = raising(RuntimeError("a secret")).get("/boom")
    error = error_of(response, 500)
    assert "secret" not in error["message"]
    assert "RuntimeError: a secret" in caplog.text


def test_unknown_paths_and_methods() -> None:
    client = TestClient(create_app())
    assert error_of(client.get("/v1/nothing"), 404)["code"] == "path_not_found"
    assert error_of(client.put("/v1/files"), 405)["code"] == "method_not_allowed"


@pytest.mark.parametrize(
    ("method", "path", "allowed"),
    [
        ("PUT", "/v1/files", "GET, POST"),
        ("PATCH", "/v1/files/file-1", "DELETE, GET"),
        ("POST", "/v1/models/acme/chat", "DELETE, GET"),
        ("PUT", "/v1/session", "DELETE, GET, POST"),
        ("POST", "/healthz", "GET"),
    ],
)
def test_allow_names_every_method_of_the_path(method: str, path: str, allowed: str) -> None:
    response = TestClient(create_app()).request(method, path)
    error_of(response, 405)
    assert response.headers["allow"] == allowed


def test_bad_bodies(client: TestClient, settings_from: Callable[..., None]) -> None:
    as_json = {"Content-Type": "application/json"}
    cases: list[tuple[bytes, str, str | None]] = [
        (b'{"name": ', "invalid_json", None),
        (b"[" * 100_000, "bad_request", None),
        (b'{"scopes": ["read"]}', "missing_required_parameter", "name"),
        (b'{"name": "a", "scopes": ["all"]}', "invalid_value", "scopes.0"),
        (b'{"name": "a", "colour": 1}', "unknown_parameter", "colour"),
        (b"3", "invalid_value", None),
        (b'{"name": "a\\u0000b"}', "invalid_value", "name"),
        (b'{"name": "\\ud800"}', "invalid_value", "name"),
    ]
    for body, code, param in cases:
        error = error_of(client.post("/v1/api_keys", content=body, headers=as_json), 400)
        assert (error["code"], error["param"]) == (code, param), body[:40]
        assert error["message"].endswith(".")
    settings_from(max_body_bytes=100)
    error_of(client.post("/v1/api_keys", json={"name": "a" * 100}), 413)
    chunks = (b" " * 60 for _ in range(3))
    error_of(client.post("/v1/api_keys", content=chunks, headers=as_json), 413)


def test_the_openai_client_understands(openai_client: openai.OpenAI) -> None:
    with pytest.raises(openai.NotFoundError) as caught:
        openai_client.files.retrieve("file-none")
    assert caught.value.request_id
    assert caught.value.body == {
        "message": "No file has the id `file-none`. List yours with GET /v1/files.",
        "type": "invalid_request_error",
        "param": "file_id",
        "code": "not_found",
    }


def test_headers_and_log_of_a_request(client: TestClient, caplog: pytest.LogCaptureFixture) -> None:
    with caplog.at_level(logging.INFO, "oddsmith.api"):
        response = client.get("/v1/files?after=")
    assert response.headers["x-content-type-options"] == "nosniff"
    assert response.headers["x-frame-options"] == "DENY"
    assert "access-control-allow-origin" not in response.headers
    line = vars(caplog.records[-1])
    assert (line["method"], line["path"], line["status"]) == ("GET", "/v1/files", 400)
    assert "sk-odd" not in caplog.text


def test_the_openapi_document_speaks_of_our_errors() -> None:
    paths = TestClient(create_app()).get("/openapi.json").json()["paths"]
    operations = [operation for path in paths.values() for operation in path.values()]
    assert all(operation["tags"] and operation["summary"] for operation in operations)
    for operation in operations:
        assert "422" not in operation["responses"]
        assert operation["responses"]["4XX"]["content"]["application/json"]["schema"] == {
            "$ref": "#/components/schemas/ErrorBody"
        }
