"""Errors as HTTP: each becomes OpenAI's error object with all four fields, never `{"detail"}`."""

import json
import logging
import math
from collections.abc import Sequence
from typing import Any

import psycopg
from fastapi import FastAPI, Request
from fastapi.exceptions import RequestValidationError
from sqlalchemy.exc import DataError, InterfaceError, OperationalError
from sqlalchemy.exc import TimeoutError as PoolTimeout
from starlette.exceptions import HTTPException
from starlette.requests import ClientDisconnect
from starlette.responses import JSONResponse
from starlette.routing import Match, Route

from api.schemas.text import NO_NUL
from orpo.contract.failures import Code
from orpo.contract.wording import sentence
from services.platform import errors
from services.platform.sizes import short_text

logger = logging.getLogger("oddsmith.api")

MESSAGE_CHARACTERS, PARAM_CHARACTERS = 4000, 200
# A list in a body may have thousands of wrong entries.
MOST_ERRORS = 50
INVALID, INVALID_VALUE = "invalid_request_error", "invalid_value"
# The first class that an error is an instance of decides, so subclasses stand before their parents.
KINDS: list[tuple[type[errors.OddsmithError], int, str]] = [
    (errors.TooLarge, 413, INVALID),
    (errors.Mismatch, 422, INVALID),
    (errors.Invalid, 400, INVALID),
    (errors.NotFound, 404, INVALID),
    (errors.Conflict, 409, INVALID),
    (errors.Fenced, 409, INVALID),
    (errors.Unauthenticated, 401, "authentication_error"),
    (errors.Denied, 403, "permission_error"),
    (errors.RateLimited, 429, "rate_limit_error"),
    (errors.Unavailable, 503, "service_unavailable"),
    (errors.DiskFull, 507, "server_error"),
]
# OpenAI's client retries after 409 and after each status from 500 on, unless a header forbids it.
HEADERS = {
    401: {"WWW-Authenticate": "Bearer"},
    409: {"x-should-retry": "false"},
    503: {"Retry-After": "2"},
    507: {"x-should-retry": "false"},
}
# Errors that Starlette itself raises, as (sentence, code). If the sentence is empty, Starlette's is
# used.
HTTP_ERRORS = {
    400: ("The body can't be read. Send JSON that is not nested deeply.", "bad_request"),
    404: ("Path not found. /openapi.json lists the paths of the API.", "path_not_found"),
    405: ("This path does not take that HTTP method; see /openapi.json.", "method_not_allowed"),
    413: ("", "too_large"),
}


class AsciiJson(JSONResponse):
    """JSON that can always be encoded, even if a message quotes a lone surrogate."""

    def render(self, content: Any) -> bytes:
        return json.dumps(content, separators=(",", ":")).encode()


def status_of(error: errors.OddsmithError) -> tuple[int, str]:
    """The HTTP status and OpenAI's `type` of an error."""
    return next(
        ((status, kind) for cls, status, kind in KINDS if isinstance(error, cls)),
        (500, "server_error"),
    )


def body_of(error: errors.OddsmithError) -> dict[str, Any]:
    """`{"error": {...}}` as it stands in a response, or in an SSE stream that fails midway."""
    kind = status_of(error)[1]
    body = error_body(error.message, kind, error.param, error.code)
    if isinstance(error, errors.Several):
        found = [(each.message, each.param, each.code) for each in error.found]
        body["error"]["errors"] = listed(found)
    return body


def listed(found: Sequence[tuple[str, str | None, str | None]]) -> list[dict[str, Any]]:
    """The `errors` of a body: each field at fault with its message, as (message, param, code)."""
    return [
        {
            "message": short_text(message, MESSAGE_CHARACTERS // 4),
            "param": param and short_text(param, PARAM_CHARACTERS),
            "code": code,
        }
        for message, param, code in found[:MOST_ERRORS]
    ]


def error_body(message: str, kind: str, param: str | None, code: str | None) -> dict[str, Any]:
    """An error's body. `message` and `param` may quote a long request, so both are cut."""
    message = short_text(message, MESSAGE_CHARACTERS)
    param = param and short_text(param, PARAM_CHARACTERS)
    return {"error": {"message": message, "type": kind, "param": param, "code": code}}


def respond(status: int, body: dict[str, Any], headers: dict[str, str] | None = None) -> AsciiJson:
    """Return an error as a response, with the headers that belong to its status."""
    return AsciiJson(body, status, headers=HEADERS.get(status, {}) | (headers or {}))


def server_error() -> AsciiJson:
    """Return the answer to a request that failed for a reason that no handler knows."""
    message = "A server error. The log of the API has the details under this answer's x-request-id."
    return respond(500, error_body(message, "server_error", None, Code.INTERNAL))


def on_product_error(_: Request, error: errors.OddsmithError) -> AsciiJson:
    """Answer with an error that a service raised."""
    headers = None
    if isinstance(error, errors.RateLimited):
        headers = {"Retry-After": str(math.ceil(error.retry_after_s))}
    return respond(status_of(error)[0], body_of(error), headers)


def on_http_error(request: Request, error: HTTPException) -> AsciiJson:
    """Answer an error that Starlette itself raised, with a sentence of ours."""
    ours, code = HTTP_ERRORS.get(error.status_code, (error.detail, "bad_request"))
    body = error_body(ours or error.detail, INVALID, None, code)
    headers = dict(error.headers or {})
    if error.status_code == 405:
        headers["Allow"] = ", ".join(methods_of(request))
    return respond(error.status_code, body, headers)


def methods_of(request: Request) -> list[str]:
    """The methods of all routes of a path; Starlette names only those of the first route."""
    routes = [route for route in request.app.routes if isinstance(route, Route)]
    matching = [route for route in routes if route.matches(request.scope)[0] is not Match.NONE]
    return sorted({method for route in matching for method in route.methods or ()})


def on_validation_error(_: Request, error: RequestValidationError) -> AsciiJson:
    """Answer with the first field of the request that is wrong; `errors` names all of several.

    pydantic reports a field once for each of its types that did not fit: the first report counts.
    """
    by_field: dict[str | None, tuple[str, str | None, str]] = {}
    for problem in error.errors()[:MOST_ERRORS]:
        message, param, code = describe(problem)
        by_field.setdefault(param, (message, param, code))
    found = list(by_field.values())
    message, param, code = found[0]
    body = error_body(message, INVALID, param, code)
    if len(found) > 1:
        body["error"]["errors"] = listed(found)
    return respond(400, body)


def describe(problem: dict[str, Any]) -> tuple[str, str | None, str]:
    """A pydantic error as (sentence, dotted field, code)."""
    if problem["type"] == "json_invalid":
        reason = problem.get("ctx", {}).get("error", "it can't be parsed")
        where = f" at character {problem['loc'][-1]}" if len(problem["loc"]) > 1 else ""
        return f"The body is not valid JSON{where}: {reason}.", None, "invalid_json"
    within, *place = problem["loc"]
    # Only bodies are nested. Elsewhere the type that pydantic tried follows the name.
    place = place if within == "body" else place[:1]
    is_missing = problem["type"] == "missing"
    if problem["type"] == "union_tag_not_found":
        is_missing, place = True, [*place, problem["ctx"]["discriminator"].strip("'")]
    param, name = named(place)
    if is_missing:
        return f"{name} is required. Add it to the request.", param, "missing_required_parameter"
    if problem["type"] == "extra_forbidden":
        return f"{name} is not known. Remove it or correct its name.", param, "unknown_parameter"
    if problem.get("ctx", {}).get("pattern") == NO_NUL:
        return (
            f"{name} holds a NUL character, which can't be stored. Remove it.",
            param,
            INVALID_VALUE,
        )
    return sentence(name, problem), param, INVALID_VALUE


def named(place: list[str | int]) -> tuple[str | None, str]:
    """A field of a request, and what a sentence calls it."""
    match place:
        case ["recipe", int(at), str(step), *rest] if rest:  # pydantic names the kind of the step
            key = ".".join(map(str, rest))
            return f"recipe.{at}.{key}", f"Step {at + 1} ({step}): `{key}`"
        case ["baseline", "name" | "endpoint", *rest]:  # pydantic names the kind of the baseline
            place = ["baseline", *rest]
        case ["integrations", int(at), str(), *rest] if rest:  # the kind of the integration
            place = ["integrations", at, *rest]
        case []:
            return None, "The body"
    param = ".".join(map(str, place))
    return param, f"`{param}`"


def on_database_down(_: Request, error: Exception) -> AsciiJson:
    """Answer 503 where the database is away, 507 where its disk is full."""
    if isinstance(getattr(error, "orig", None), psycopg.errors.DiskFull):
        return disk_full("the database", error)
    logger.warning("database unavailable: %s", type(error).__name__)
    down = errors.Unavailable("The database does not answer. Try again in a few seconds.")
    return respond(503, body_of(down))


def on_os_error(_: Request, error: OSError) -> AsciiJson:
    """Answer 507 if a disk is full; raises any other error again."""
    if not errors.is_disk_full(error):
        raise error
    return disk_full("uploads and results", error)


def disk_full(of: str, error: Exception) -> AsciiJson:
    """Return 507 and write the cause to the log."""
    logger.error("no space left: %s", error)
    full = errors.DiskFull(f"The disk of {of} is full. Nothing was stored: free some space there.")
    return respond(507, body_of(full))


def on_unstorable(_: Request, error: Exception) -> AsciiJson:
    """Answer 400 to a value that the database can't store."""
    logger.info("value refused by the database: %s", type(error).__name__)
    message = (
        "The request holds a value that can't be stored: a NUL character, "
        "half of a surrogate pair, or a number that is too large. Remove it."
    )
    return respond(400, body_of(errors.Invalid(message)))


def on_client_gone(_: Request, __: ClientDisconnect) -> AsciiJson:
    """End a request whose client left before its body was complete."""
    # The client has left; the status is for the log.
    return respond(400, error_body("The client left.", INVALID, None, "client_gone"))


def install(app: FastAPI) -> None:
    """Install the handlers of errors. The middleware turns all other errors into a 500."""
    app.exception_handler(errors.OddsmithError)(on_product_error)
    app.exception_handler(RequestValidationError)(on_validation_error)
    app.exception_handler(HTTPException)(on_http_error)
    app.exception_handler(ClientDisconnect)(on_client_gone)
    for down in (OperationalError, InterfaceError, PoolTimeout):
        app.add_exception_handler(down, on_database_down)
    app.exception_handler(OSError)(on_os_error)
    for unstorable in (DataError, UnicodeEncodeError):
        app.add_exception_handler(unstorable, on_unstorable)
