"""The largest body that is read. Uploads have a limit of their own, in their route."""

import re

from starlette.datastructures import Headers
from starlette.exceptions import HTTPException
from starlette.types import ASGIApp, Message, Receive, Scope, Send

from services.platform.settings import get_settings

# These routes read their body as a stream and count it themselves.
STREAMED = re.compile(r"/v1/files|/v1/uploads/[^/]+/parts")


class BodyLimit:
    """Refuses to hand on more than `max_body_bytes`, whether or not the length was announced."""

    def __init__(self, app: ASGIApp) -> None:
        self.app = app

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        if scope["type"] == "http" and not STREAMED.fullmatch(scope["path"]):
            receive = limited(receive, Headers(scope=scope), get_settings().max_body_bytes)
        await self.app(scope, receive, send)


def limited(receive: Receive, headers: Headers, max_bytes: int) -> Receive:
    """Return `receive` that raises 413 once the body has more than `max_bytes`."""
    announced = headers.get("content-length", "")
    read_bytes = int(announced) if announced.isdecimal() and int(announced) > max_bytes else 0

    async def counted() -> Message:
        nonlocal read_bytes
        message = await receive() if read_bytes <= max_bytes else {"type": "http.request"}
        read_bytes += len(message.get("body", b""))
        if read_bytes > max_bytes and message["type"] == "http.request":
            # An HTTPException, because FastAPI turns any other error of the body into a 400.
            raise HTTPException(
                413, f"The body is larger than {max_bytes} bytes. Send less in one request."
            )
        return message

    return counted
