"""Server-sent events: JSON frames, comments as heartbeat, `[DONE]` only after a true end.

Knows no noun: it is handed an async iterator of events, which must hold no database session.
"""

import asyncio
import json
import logging
from collections.abc import AsyncGenerator, AsyncIterator
from contextlib import suppress
from dataclasses import dataclass
from typing import Any

import anyio
from starlette.responses import StreamingResponse
from starlette.types import Receive, Scope, Send

from api import meters
from api.errors import body_of, error_body
from services.errors import OddsmithError

logger = logging.getLogger("oddsmith.api")

HEARTBEAT_S = 15.0
HEARTBEAT = b": still here\n\n"
DONE = b"data: [DONE]\n\n"
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
    head = f"id: {event.id}\n" if event.id is not None else ""
    head += f"event: {event.event}\n" if event.event else ""
    return f"{head}data: {json.dumps(event.data, separators=(',', ':'))}\n\n".encode()


class Stream(StreamingResponse):
    """Frames on their way, counted among the open streams of their `kind`."""

    def __init__(self, frames: AsyncIterator[bytes], kind: str) -> None:
        super().__init__(frames, media_type="text/event-stream", headers=NO_BUFFERING)
        self.kind = kind

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        with meters.open_streams.labels(self.kind).track_inprogress():
            await super().__call__(scope, receive, send)


def respond(
    source: AsyncGenerator[Any, None], kind: str, heartbeat_s: float = HEARTBEAT_S
) -> StreamingResponse:
    """Stream `source`: what it raises becomes an error frame, and then there is no `[DONE]`.

    When the client leaves, `source` is cancelled where it waits and closed.
    """
    return Stream(frames(source, heartbeat_s), kind)


async def frames(source: AsyncGenerator[Any, None], heartbeat_s: float) -> AsyncIterator[bytes]:
    end = object()
    waiting: asyncio.Future[Any] | None = None
    try:
        while True:
            waiting = asyncio.ensure_future(anext(source, end))
            while not (await asyncio.wait({waiting}, timeout=heartbeat_s))[0]:
                yield HEARTBEAT
            event = waiting.result()
            if event is end:
                yield DONE
                return
            yield encode(event)
    except OddsmithError as error:
        yield encode(body_of(error))
    except Exception:
        logger.exception("a stream failed")
        yield encode(
            error_body("The stream broke off on our side.", "server_error", None, "internal")
        )
    finally:
        await close(source, waiting)


async def close(source: AsyncGenerator[Any, None], waiting: asyncio.Future[Any] | None) -> None:
    # Shielded: the client's leaving has cancelled this task, and the source must still tidy up.
    with anyio.CancelScope(shield=True):
        if waiting is not None and not waiting.done():
            waiting.cancel()
            with suppress(asyncio.CancelledError, Exception):
                await waiting
        await source.aclose()
