"""Streams: frames, heartbeats, errors, and a source that is closed when the client leaves."""

import asyncio
from collections.abc import AsyncGenerator
from typing import Any

from api import sse
from services.platform.errors import Unavailable


async def collect(source: AsyncGenerator[Any, None], heartbeat_s: float = 9) -> list[bytes]:
    return [frame async for frame in sse.frames(source, heartbeat_s)]


def test_events_then_done() -> None:
    async def source() -> AsyncGenerator[Any, None]:
        yield {"text": "a\nb"}
        yield sse.Event([1], id="7", event="metrics")

    assert asyncio.run(collect(source())) == [
        b'data: {"text":"a\\nb"}\n\n',
        b"id: 7\nevent: metrics\ndata: [1]\n\n",
        sse.DONE,
    ]


def test_a_failure_is_an_error_and_never_done() -> None:
    async def source(error: Exception) -> AsyncGenerator[Any, None]:
        yield 1
        raise error

    known = asyncio.run(collect(source(Unavailable("The engine died."))))
    assert b'"message":"The engine died."' in known[-1]
    unknown = asyncio.run(collect(source(RuntimeError("a secret"))))
    assert b'"code":"internal"' in unknown[-1]
    assert b"secret" not in unknown[-1]
    assert sse.DONE not in known + unknown


def test_silence_is_filled_with_comments() -> None:
    async def source() -> AsyncGenerator[Any, None]:
        await asyncio.sleep(0.1)
        yield 1

    frames = asyncio.run(collect(source(), heartbeat_s=0.03))
    assert frames[0] == sse.HEARTBEAT
    assert frames[-2:] == [b"data: 1\n\n", sse.DONE]


def test_the_source_is_closed_when_the_client_leaves() -> None:
    closed = []

    async def source() -> AsyncGenerator[Any, None]:
        try:
            yield 1
            await asyncio.sleep(60)
        finally:
            await asyncio.sleep(0)
            closed.append(True)

    async def leave() -> None:
        reading = asyncio.ensure_future(collect(source()))
        await asyncio.sleep(0.05)
        reading.cancel()
        await asyncio.wait({reading})

    asyncio.run(leave())
    assert closed == [True]
