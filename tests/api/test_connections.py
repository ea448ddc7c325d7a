"""A client that stops reading a stream is dropped; one that reads slowly is not."""

import asyncio
import socket
import time
from collections.abc import AsyncGenerator, Iterator

import pytest

from api import sse
from api.connections import Connection
from tests import load
from tests.api.fake_engine import wait_until
from tests.api.servers import serving

ASK = load.request("GET", "/", "key")
FRAME = b"data: " + b"x" * 1000 + b"\n\n"


class Ticking:
    """An application that answers with endless streams; counts the open ones."""

    def __init__(self) -> None:
        self.open = 0

    async def __call__(self, scope, receive, send) -> None:
        if scope["type"] == "http":
            await sse.EventStream(self.frames(), "job")(scope, receive, send)

    async def frames(self) -> AsyncGenerator[bytes, None]:
        self.open += 1
        try:
            while True:
                yield FRAME
                await asyncio.sleep(0.1)
        finally:
            self.open -= 1


@pytest.fixture
def ticking(monkeypatch: pytest.MonkeyPatch) -> Iterator[tuple[Ticking, int]]:
    """The application on a port; a stalled connection is dropped after half a second."""
    monkeypatch.setattr(sse, "STALLED_S", 0.5)
    app = Ticking()
    with serving(app, http=Connection, lifespan="off") as port:
        yield app, port


@pytest.mark.slow
@pytest.mark.skipif(not hasattr(socket, "TCP_USER_TIMEOUT"), reason="only Linux watches over that")
def test_who_no_longer_reads_is_dropped(ticking: tuple[Ticking, int]) -> None:
    app, port = ticking
    with load.stalled(f"http://127.0.0.1:{port}", ASK, 5):
        assert wait_until(lambda: app.open == 5)
        assert wait_until(lambda: app.open == 0)


@pytest.mark.slow
def test_who_reads_slowly_is_kept(ticking: tuple[Ticking, int]) -> None:
    app, port = ticking
    with socket.create_connection(("127.0.0.1", port)) as slow:
        slow.sendall(ASK)
        until = time.monotonic() + 1.5
        while time.monotonic() < until:
            assert slow.recv(500)
            time.sleep(0.05)
        assert app.open == 1
