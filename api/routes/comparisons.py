"""`/v1/comparisons`: several models answer one prompt in one stream, each at its own pace."""

import asyncio
import json
import time
from collections.abc import AsyncGenerator
from dataclasses import dataclass, field
from typing import Any

import httpx
from fastapi import APIRouter
from starlette.responses import StreamingResponse

from api import sse, upstream
from api.deps import CallerDep
from api.errors import body_of
from api.schemas.comparisons import CompareRequest
from services.deployments import Route
from services.errors import OddsmithError, Unavailable

router = APIRouter(tags=["chat"])

Said = dict[str, Any]


@router.post("/v1/comparisons", summary="Let two to four deployed models answer side by side")
async def compare(caller: CallerDep, body: CompareRequest) -> StreamingResponse:
    routes = [
        await upstream.find_route(caller, model, f"models.{side}")
        for side, model in enumerate(body.models)
    ]
    sides = [
        Side(number, route, body.upstream(route.upstream_model))
        for number, route in enumerate(routes)
    ]
    return sse.respond(together(sides))


@dataclass
class Side:
    """One model's answer on its way, and how fast it came."""

    number: int
    route: Route
    body: dict[str, Any]
    started: float = field(default_factory=time.perf_counter)
    first_token: float | None = None
    last_token: float | None = None
    usage: dict[str, Any] | None = None
    finish_reason: str | None = None

    def heard(self, chunk: dict[str, Any]) -> str:
        """Take note of a chunk of the stream; return the text that it adds."""
        self.usage = chunk.get("usage") or self.usage
        choice = (chunk.get("choices") or [{}])[0]
        self.finish_reason = choice.get("finish_reason") or self.finish_reason
        text = choice.get("delta", {}).get("content") or ""
        if text:
            self.last_token = time.perf_counter()
            self.first_token = self.first_token or self.last_token
        return text

    def end(self) -> Said:
        return {
            "side": self.number,
            "model": self.route.model,
            "done": True,
            "finish_reason": self.finish_reason,
            "usage": self.usage,
            "first_token_s": _rounded(self.first_token, self.started),
            "tokens_per_s": self.tokens_per_s(),
        }

    def tokens_per_s(self) -> float | None:
        """The pace after the first token; None where there was no second."""
        tokens = (self.usage or {}).get("completion_tokens", 0)
        span_s = _rounded(self.last_token, self.first_token)
        return round((tokens - 1) / span_s, 2) if span_s and tokens > 1 else None


def _rounded(later: float | None, earlier: float | None) -> float | None:
    return round(later - earlier, 4) if later is not None and earlier is not None else None


async def together(sides: list[Side]) -> AsyncGenerator[Said, None]:
    """Yield what any side says as soon as it says it, until each has ended, well or not."""
    said: asyncio.Queue[Said] = asyncio.Queue()
    tasks = [asyncio.create_task(speak(side, said)) for side in sides]
    try:
        unfinished = len(sides)
        while unfinished:
            event = await said.get()
            yield event
            unfinished -= "done" in event or "error" in event
    finally:
        for task in tasks:
            task.cancel()
        await asyncio.gather(*tasks, return_exceptions=True)


async def speak(side: Side, said: asyncio.Queue[Said]) -> None:
    """Put one side's events into `said`; the last one holds `done` or `error`."""
    try:
        response = await upstream.ask(side.route, side.body)
        try:
            await _listen(side, response, said)
        finally:
            await response.aclose()
        said.put_nowait(side.end())
    except OddsmithError as error:
        said.put_nowait(_failed(side, error))
    except Exception:
        said.put_nowait(_failed(side, Unavailable("This side broke off on our side.")))
        raise


async def _listen(side: Side, response: httpx.Response, said: asyncio.Queue[Said]) -> None:
    async for frame in upstream.frames(side.route, response):
        if not frame.startswith(b"data: "):
            continue
        text = side.heard(json.loads(frame.removeprefix(b"data: ")))
        if text:
            said.put_nowait({"side": side.number, "model": side.route.model, "delta": text})


def _failed(side: Side, error: OddsmithError) -> Said:
    return {"side": side.number, "model": side.route.model, "error": body_of(error)["error"]}
