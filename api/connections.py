"""uvicorn's connections, with limits on how much a client may send and on how slowly.

Used by `uvicorn --http api.connections:Connection`; without that option there are no such limits.
They cover what happens before the application can apply its own limits: the size of a request's
head, the time that a head and a body take, connections without a complete request
(`api/pending.py`), and requests that are sent before the last one is answered. WebSockets are not
served.
"""

import asyncio
import secrets
import socket
from enum import Enum, auto
from typing import Any, cast
from weakref import WeakKeyDictionary

from uvicorn.protocols.http.httptools_impl import STATUS_LINE, HttpToolsProtocol
from uvicorn.server import ServerState

from api.errors import INVALID, error_body, respond
from api.pending import Pending, address_of, max_connections
from api.sse import DROP_STALLED
from services.platform.settings import get_settings

# The request line, the headers and the trailers of one request.
MAX_HEAD_BYTES = 2**16
# The overhead of each header, which RFC 9113 (6.5.2) adds to its bytes.
HEADER_BYTES = 32
# How long the rest of a body may take once its request is answered.
DRAIN_S = 30
# How long a connection stays open after a refusal.
LINGER_S = 2
# A client that leaves an answer unread this long is dropped; streams are stricter (api/sse.py).
UNREAD_S = 60

TOO_LARGE_HEAD = (
    431,
    f"The request line and headers take more than {MAX_HEAD_BYTES} bytes. Send fewer or shorter.",
    "headers_too_large",
)
MALFORMED = (400, "This is not a valid HTTP/1.1 request.", "bad_request")
TOO_SLOW = (
    408,
    "The request did not arrive in time. Send it again, over a faster connection.",
    "request_timeout",
)
FULL = (503, "The server has all the connections it can hold. Try again later.", "unavailable")

_tables: WeakKeyDictionary[ServerState, Pending] = WeakKeyDictionary()


class Phase(Enum):
    """How far a connection is with its request."""

    HEAD = auto()  # before and within a request's head
    BODY = auto()
    ANSWER = auto()  # the request is complete: the only phase without a deadline
    LAST = auto()  # like ANSWER, but what the client sends meanwhile is dropped
    DRAIN = auto()  # answered before the body was complete
    IDLE = auto()
    REFUSED = auto()


class RefusedError(Exception):
    """Stops the parser."""


class Connection(HttpToolsProtocol):
    """uvicorn's protocol with the limits that this module describes."""

    def __init__(self, *arguments: Any, **options: Any) -> None:
        super().__init__(*arguments, **options)
        # WebSockets would have none of these limits; an upgrade is answered as plain HTTP.
        self.ws_protocol_class = None
        self.pending, self.settings = _table(self.server_state, self.loop), get_settings()
        self.address, self.fault = "", MALFORMED
        self.phase, self.since_s = Phase.HEAD, self.loop.time()
        # Bytes of the current request: its head and trailers as parsed, and its body.
        self.head_bytes, self.body_bytes = 0, 0
        # Bytes received since the parser last completed a head, a piece of a body or a request.
        self.unparsed_bytes = 0
        self.seen_bytes, self.seen_at_s = 0, 0.0

    def connection_made(self, transport: asyncio.Transport) -> None:  # pyright: ignore[reportIncompatibleMethodOverride] - as uvicorn has it
        super().connection_made(transport)
        self.address = address_of(self.client[0]) if self.client else ""
        if self.client:
            self.drop_stalled(UNREAD_S)
        has_room = self.pending.has_room(len(self.connections))
        self.wait_in(Phase.HEAD)
        if not has_room:
            self.refuse(*FULL)

    def connection_lost(self, exc: Exception | None) -> None:
        super().connection_lost(exc)
        self.pending.leave(self)

    def wait_in(self, phase: Phase) -> None:
        self.phase, self.since_s = phase, self.loop.time()
        self.pending.enter(self)

    def data_received(self, data: bytes) -> None:
        if self.phase is Phase.REFUSED:
            return
        if self.phase is Phase.IDLE:
            self.phase, self.since_s = Phase.HEAD, self.loop.time()
        self.unparsed_bytes += len(data)
        if self.phase is not Phase.LAST:
            super().data_received(data)
        if self.unparsed_bytes > MAX_HEAD_BYTES:
            self.refuse(*TOO_LARGE_HEAD)

    def on_message_begin(self) -> None:
        if self.phase is Phase.ANSWER:
            raise RefusedError  # answered by `send_400_response`
        super().on_message_begin()
        self.head_bytes = self.body_bytes = 0
        # Only Linux has the option.
        if hasattr(socket, "TCP_USER_TIMEOUT"):
            scope = cast("dict[str, Any]", self.scope)  # its declared type allows no calls there
            scope["extensions"] = {DROP_STALLED: self.drop_stalled}

    def on_url(self, url: bytes) -> None:
        self._count_head(len(url))
        super().on_url(url)

    def on_header(self, name: bytes, value: bytes) -> None:
        self._count_head(len(name) + len(value) + HEADER_BYTES)
        super().on_header(name, value)

    def _count_head(self, size_bytes: int) -> None:
        self.head_bytes += size_bytes
        if self.head_bytes > MAX_HEAD_BYTES:
            self.fault = TOO_LARGE_HEAD
            raise RefusedError

    def on_headers_complete(self) -> None:
        super().on_headers_complete()
        self.unparsed_bytes = self.seen_bytes = 0
        self.phase, self.since_s = Phase.BODY, self.loop.time()
        self.seen_at_s = self.since_s

    def on_body(self, body: bytes) -> None:
        self.body_bytes += len(body)
        self.unparsed_bytes = 0
        super().on_body(body)

    def on_message_complete(self) -> None:
        super().on_message_complete()
        self.unparsed_bytes = 0
        if self.phase is Phase.BODY:
            self.phase = Phase.ANSWER
            self.pending.leave(self)
        elif self.phase is Phase.DRAIN:
            self.wait_in(Phase.IDLE)

    def on_response_complete(self) -> None:
        super().on_response_complete()
        if not self.transport.is_closing():
            self.wait_in(Phase.DRAIN if self.phase is Phase.BODY else Phase.IDLE)

    def send_400_response(self, msg: str) -> None:  # noqa: ARG002 - ours are sentences
        """Refuse what the parser rejects. If an answer is under way, finish it and then close."""
        if self.phase is Phase.ANSWER:
            self.phase, self.cycle.keep_alive = Phase.LAST, False
        else:
            self.refuse(*self.fault)

    def refuse(self, status: int, message: str, code: str) -> None:
        """Send an error, if no answer has begun, and close soon."""
        if self.phase is Phase.REFUSED:
            return
        if self.phase is not Phase.HEAD and not self._withdrawn():
            self.drop()
            return
        self.transport.write(self._encoded(status, error_body(message, INVALID, None, code)))
        # Closing while the client still sends would reset the connection and lose the answer.
        self.wait_in(Phase.REFUSED)
        if self.transport.can_write_eof():
            self.transport.write_eof()
        else:
            self.transport.close()

    def _withdrawn(self) -> bool:
        """Report to the application that its client has left; False if the answer has begun."""
        if self.cycle.response_started:
            return False
        self.cycle.disconnected = True
        self.cycle.message_event.set()
        return True

    def _encoded(self, status: int, body: dict[str, Any]) -> bytes:
        request_id = f"req_{secrets.token_hex(12)}"
        answer = respond(status, body, {"connection": "close", "x-request-id": request_id})
        headers = [*self.server_state.default_headers, *answer.raw_headers]
        lines = [b"%b: %b\r\n" % header for header in headers]
        return STATUS_LINE[status] + b"".join(lines) + b"\r\n" + bytes(answer.body)

    def overdue(self, now_s: float) -> bool:
        if self.phase is Phase.BODY:
            return self._body_is_slow(now_s)
        deadlines_s = {
            Phase.HEAD: self.settings.headers_s,
            Phase.IDLE: self.timeout_keep_alive,
            Phase.DRAIN: DRAIN_S,
            Phase.REFUSED: LINGER_S,
        }
        return now_s - self.since_s > deadlines_s[self.phase]

    def _body_is_slow(self, now_s: float) -> bool:
        """Whether the body has stalled, or is too slow on average.

        Time in which this server does not read is not counted.
        """
        if self.flow.read_paused or self.cycle.waiting_for_100_continue:
            self.since_s, self.seen_at_s = self.since_s + self.pending.sweep_s, now_s
            return False
        if self.seen_bytes != self.body_bytes:
            self.seen_bytes, self.seen_at_s = self.body_bytes, now_s
        taken_s, gap_s = now_s - self.since_s, self.settings.body_gap_s
        least_bytes = self.settings.body_bytes_per_s * taken_s
        is_slow = taken_s > gap_s and self.body_bytes < least_bytes
        return is_slow or now_s - self.seen_at_s > gap_s

    def expire(self) -> None:
        has_begun = self.phase is Phase.HEAD and self.head_bytes + self.unparsed_bytes > 0
        if has_begun or self.phase is Phase.BODY:
            self.refuse(*TOO_SLOW)
        else:
            self.drop()

    def drop(self) -> None:
        self.pending.leave(self)
        self.transport.abort()

    def _unsupported_upgrade_warning(self) -> None:
        """Log nothing."""

    def drop_stalled(self, after_s: float) -> None:
        """Close the connection once its client has not accepted sent data for `after_s` seconds.

        The kernel enforces this (tcp(7), TCP_USER_TIMEOUT). A quiet stream sends only a few bytes,
        so the buffers of this process would not show for hours that the client has stalled.
        """
        if hasattr(socket, "TCP_USER_TIMEOUT"):
            found = self.transport.get_extra_info("socket")
            found.setsockopt(socket.IPPROTO_TCP, socket.TCP_USER_TIMEOUT, int(after_s * 1000))


def _table(state: ServerState, loop: asyncio.AbstractEventLoop) -> Pending:
    """The table of a server, made with its first connection."""
    if state not in _tables:
        _tables[state] = Pending(loop, get_settings().pending_per_address, max_connections())
    return _tables[state]
