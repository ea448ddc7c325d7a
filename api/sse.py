"""Server-sent events: JSON frames, comments as heartbeats, `[DONE]` only if there was no error.

Knows no object of the API: it takes an async iterator of events, which must hold no database
session.
"""

import asyncio
import json
import logging
import time
from collections.abc import AsyncGenerator, AsyncIterator
from contextlib import aclosing, suppress
from dataclasses import dataclass
from typing import Any

import anyio
from starlette.responses import StreamingResponse
from starlette.types import Receive, Scope, Send

from api import collector, meters, standing
from api.errors import body_of, error_body
from orpo.contract.failures import Code
from services.platform.errors import OddsmithError, Unavailable

logger = logging.getLogger("oddsmith.api")

HEARTBEAT_S = 15.0
HEARTBEAT = b": still here\n\n"
DONE = b"data: [DONE]\n\n"
# A call among a request's `extensions` that takes a time in seconds (api/connections.py).
DROP_STALLED = "oddsmith.drop_stalled"
# A client that does not read what was sent to it for this long is dropped; it may reconnect.
STALLED_S = 20
LEAVE_S = 2
NO_BUFFERING = {"Cache-Control": "no-store", "X-Accel-Buffering": "no"}


@dataclass(frozen=True)
class Event:
    """`data` is any JSON value; `id` comes back as Last-Event-ID when a client reconnects."""

    data: Any
    id: str | None = None
    event: str | None = None


def encode(event: Any) -> bytes:
    """One frame, of an Event or of a bare JSON value."""
    event = event if isinstance(event, Event) else Event(event)
    data = json.dumps(event.data, separators=(",", ":")).encode()
    return frame(data, event.id, event.event)


def frame(data: bytes, id: str | None = None, event: str | None = None) -> bytes:  # noqa: A002
    """One frame of JSON that is encoded already."""
    head = f"id: {id}\n" if id is not None else ""
    head += f"event: {event}\n" if event else ""
    return b"%bdata: %b\n\n" % (head.encode(), data)


# The last frame of a stream that has not ended when the server, which is shutting down, ends it.
LEAVING = encode(
    body_of(
        Unavailable(
            "The server is being restarted and could not wait for the end: ask again in a moment.",
            code="restarting",
        )
    )
)

# The last frame of a stream whose key was revoked.
REVOKED = encode(body_of(standing.ENDED))


def respond(
    source: AsyncGenerator[Any, None], kind: str, heartbeat_s: float = HEARTBEAT_S
) -> "EventStream":
    """Stream `source`. An error that it raises becomes a frame, with no `[DONE]` after it.

    When the client leaves, `source` is cancelled and closed.
    """
    return EventStream(frames(source, heartbeat_s), kind)


class EventStream(StreamingResponse):
    """Sends frames to one client, and drops a client that no longer reads them.

    It is counted among the open streams of its `kind`.
    """

    def __init__(self, frames: AsyncIterator[bytes], kind: str) -> None:
        super().__init__(frames, media_type="text/event-stream", headers=NO_BUFFERING)
        self.kind = kind

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        drop_stalled = scope.get("extensions", {}).get(DROP_STALLED)
        if drop_stalled is not None:
            drop_stalled(STALLED_S)
        counted = meters.open_streams.labels(self.kind).track_inprogress()
        with counted, collector.streams.one_more():
            try:
                await super().__call__(scope, receive, send)
            except asyncio.CancelledError:
                # A request is cancelled when its key is revoked, or when a server that is shutting
                # down has waited long enough.
                last = REVOKED if standing.is_over(scope) else LEAVING
                await send({"type": "http.response.body", "body": last, "more_body": False})
                raise


async def until_left() -> None:
    """Wait until each open stream has sent its last frame, but no longer than LEAVE_S."""
    until = time.monotonic() + LEAVE_S
    while collector.streams.open and time.monotonic() < until:
        await asyncio.sleep(0.01)


def frames(source: AsyncGenerator[Any, None], heartbeat_s: float) -> AsyncIterator[bytes]:
    """Return the events of `source` as frames, with heartbeats; `[DONE]` if there was no error."""
    return whole(encoded(source, heartbeat_s))


async def encoded(
    source: AsyncGenerator[Any, None], heartbeat_s: float
) -> AsyncGenerator[bytes, None]:
    """The events of `source` as frames, with heartbeats while it is silent."""
    end = object()
    waiting: asyncio.Future[Any] | None = None
    try:
        while True:
            waiting = asyncio.ensure_future(anext(source, end))
            while not (await asyncio.wait({waiting}, timeout=heartbeat_s))[0]:
                yield HEARTBEAT
            event = waiting.result()
            if event is end:
                return
            yield encode(event)
    finally:
        await close(source, waiting)


async def whole(source: AsyncGenerator[bytes, None]) -> AsyncIterator[bytes]:
    """Yield the frames of `source`, then `[DONE]`, or after an error a frame with that error."""
    try:
        async with aclosing(source):
            async for each in source:
                yield each
        yield DONE
    except OddsmithError as error:
        yield encode(body_of(error))
    except Exception:
        logger.exception("a stream failed")
        yield encode(
            error_body(
                "The stream ended because of a server error. Connect again.",
                "server_error",
                None,
                Code.INTERNAL,
            )
        )


async def close(source: AsyncGenerator[Any, None], waiting: asyncio.Future[Any] | None) -> None:
    """Cancel what is still awaited of `source`, and close it."""
    # Shielded: this task is cancelled when the client leaves, and the source must still clean up.
    with anyio.CancelScope(shield=True):
        if waiting is not None and not waiting.done():
            waiting.cancel()
            with suppress(asyncio.CancelledError, Exception):
                await waiting
        await source.aclose()
