"""Makes every path of a vLLM server require the engine's key: `--middleware engine_key.EngineKey`.

vLLM's own `--api-key` leaves paths open that load and unload adapters (`POST /adapters`). Imported
by the engine's interpreter, which may have none of our packages: standard library only.
"""

import hmac
import os
from collections.abc import Awaitable, Callable
from pathlib import Path
from typing import Any

KEY_FILE = "ENGINE_KEY_FILE"

App = Callable[[Any, Any, Any], Awaitable[None]]


class EngineKey:
    """ASGI middleware: a request without `Authorization: Bearer KEY` gets 401 on any path."""

    def __init__(self, app: App) -> None:
        self.app = app
        key = Path(os.environ[KEY_FILE]).read_text().strip()
        if not key:
            raise ValueError("The file of the engine's key is empty.")
        self.expected = f"Bearer {key}".encode()

    async def __call__(self, scope: Any, receive: Any, send: Any) -> None:
        if scope["type"] == "lifespan" or self._holds_the_key(scope):
            await self.app(scope, receive, send)
        elif scope["type"] == "http":
            body = b'{"error": {"message": "This engine asks for its key.", "code": 401}}'
            headers = [
                (b"content-type", b"application/json"),
                (b"content-length", str(len(body)).encode()),
            ]
            await send({"type": "http.response.start", "status": 401, "headers": headers})
            await send({"type": "http.response.body", "body": body})
        else:
            await send({"type": "websocket.close", "code": 1008})

    def _holds_the_key(self, scope: Any) -> bool:
        sent = [value for name, value in scope.get("headers", ()) if name == b"authorization"]
        return len(sent) == 1 and hmac.compare_digest(sent[0], self.expected)
