"""ASGI applications on real sockets, served by a thread of this process."""

import asyncio
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import uvicorn


class _Server(uvicorn.Server):
    """Ends as soon as it is asked to; uvicorn looks for that every 0.1 s."""

    def __init__(self, config: uvicorn.Config) -> None:
        super().__init__(config)
        self.ready = threading.Event()
        self._end = asyncio.Event()

    async def main_loop(self) -> None:
        self._loop = asyncio.get_running_loop()
        await self.on_tick(0)
        self.ready.set()
        await self._end.wait()

    def end(self) -> None:
        self._loop.call_soon_threadsafe(self._end.set)


@contextmanager
def serving(app: Any, socket: Path | None = None, **options: Any) -> Iterator[int]:
    """Serve an ASGI app: on a Unix socket (yields 0), or a free port. `options` are for uvicorn."""
    uds = None if socket is None else str(socket)
    config = uvicorn.Config(
        app, port=0, uds=uds, log_level="critical", timeout_graceful_shutdown=1, **options
    )
    server = _Server(config)
    thread = threading.Thread(target=server.run, daemon=True)
    thread.start()
    assert server.ready.wait(10)
    yield 0 if socket else server.servers[0].sockets[0].getsockname()[1]
    server.end()
    thread.join(5)


class Exchangeable:
    """An ASGI app that passes everything to another one, which may be exchanged."""

    def __init__(self, app: Any) -> None:
        self.app = app

    async def __call__(self, scope: Any, receive: Any, send: Any) -> None:
        await self.app(scope, receive, send)
