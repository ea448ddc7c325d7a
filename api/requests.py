"""Around every request: an id, one log line, security headers, and a 500 as an error object."""

import logging
import secrets
import time
from typing import Any

from starlette.datastructures import Headers, MutableHeaders
from starlette.types import ASGIApp, Message, Receive, Scope, Send

from api import meters
from api.errors import server_error
from services.platform import traces
from services.platform.logs import request_id

logger = logging.getLogger("oddsmith.api")

SECURITY_HEADERS = {
    "X-Content-Type-Options": "nosniff",
    "X-Frame-Options": "DENY",
    "Referrer-Policy": "no-referrer",
    "Content-Security-Policy": "default-src 'self'; frame-ancestors 'none'",
    # An answer is only for its caller, and some hold a secret. Cacheable ones set their own header.
    "Cache-Control": "no-store",
}
QUIET = {"/healthz", "/readyz", "/metrics"}


class Requests:
    """Gives each request an id, a span, a line in the log and the headers of every answer."""

    def __init__(self, app: ASGIApp) -> None:
        self.app = app

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        if scope["type"] != "http":
            await self.app(scope, receive, send)
            return
        answer = Answer(send, f"req_{secrets.token_hex(12)}")
        started_s = time.perf_counter()
        token = request_id.set(answer.request_id)
        with traces.span(scope["method"], headers=Headers(scope=scope)) as span:
            try:
                await self.app(scope, receive, answer.send)
            except Exception:
                logger.exception("unhandled error")
                if answer.status is not None:
                    raise  # The answer has begun: only breaking the connection shows the error.
                await server_error()(scope, receive, answer.send)
            finally:
                duration_s = time.perf_counter() - started_s
                meters.count_request(scope, answer.status, duration_s)
                describe(span, scope, answer)
                log(scope, answer.status, duration_s)
                request_id.reset(token)


class Answer:
    """Wraps `send`: records the status and adds the headers of every answer."""

    def __init__(self, send: Send, request_id: str) -> None:
        self.forward, self.request_id = send, request_id
        self.status: int | None = None

    async def send(self, message: Message) -> None:
        if message["type"] == "http.response.start":
            self.status = message["status"]
            headers = MutableHeaders(scope=message)
            headers["x-request-id"] = self.request_id
            for name, value in SECURITY_HEADERS.items():
                headers.setdefault(name, value)
        await self.forward(message)


def describe(span: Any, scope: Scope, answer: Answer) -> None:
    """Name a span by OpenTelemetry's conventions for servers."""
    route = meters.route_of(scope)
    span.update_name(f"{scope['method']} {route}")
    span.set_attributes(
        {
            "http.request.method": scope["method"],
            "http.route": route,
            "http.response.status_code": answer.status or 0,
            "request_id": answer.request_id,
        }
    )


def log(scope: Scope, status: int | None, duration_s: float) -> None:
    """One line a request, without its query, headers or body: they may hold secrets."""
    level = logging.DEBUG if scope["path"] in QUIET else logging.INFO
    facts = {
        "method": scope["method"],
        "path": scope["path"],
        "status": status,
        "duration_ms": round(duration_s * 1000, 1),
    }
    logger.log(level, "request", extra=facts)
