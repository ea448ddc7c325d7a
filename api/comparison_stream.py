"""Several answers in one stream, each at its own pace.

No side waits for another, and a side that fails does not end the others.
"""

import asyncio
import json
import logging
import time
from collections.abc import AsyncGenerator
from dataclasses import dataclass, field
from typing import Any

import httpx
from sqlalchemy.exc import OperationalError

from api import threads, upstream
from api.errors import body_of
from api.schemas.comparisons import ComparisonObject
from services.platform.database import transaction
from services.platform.errors import OddsmithError, Unavailable
from services.serving import comparisons
from services.serving.deployments import Route

logger = logging.getLogger("oddsmith.api")

SideEvent = dict[str, Any]

LOOK_FOR_STOPS_S = 0.3


@dataclass
class Side:
    """One model's answer while it is generated, with its timing."""

    number: int
    route: Route
    body: dict[str, Any]
    started: float = field(default_factory=time.perf_counter)
    first_token: float | None = None
    last_token: float | None = None
    usage: dict[str, Any] | None = None
    finish_reason: str | None = None
    error: dict[str, Any] | None = None
    texts: list[str] = field(default_factory=list)

    def heard(self, chunk: dict[str, Any]) -> str:
        """Record a chunk of the stream; return the text that it adds."""
        self.usage = chunk.get("usage") or self.usage
        choice = (chunk.get("choices") or [{}])[0]
        self.finish_reason = choice.get("finish_reason") or self.finish_reason
        text = choice.get("delta", {}).get("content") or ""
        if text:
            self.last_token = time.perf_counter()
            self.first_token = self.first_token or self.last_token
            self.texts.append(text)
        return text

    def end(self) -> SideEvent:
        """The event of a side that has ended."""
        return {"side": self.number, "model": self.route.model, "done": True, **self.measured()}

    def fail(self, error: OddsmithError) -> SideEvent:
        """The event of a side that has failed."""
        self.error = body_of(error)["error"]
        return {"side": self.number, "model": self.route.model, "error": self.error}

    def answer(self) -> SideEvent:
        """What is stored of the side. Without `finish_reason` and `error` the client left early."""
        # Postgres stores no NUL, and a model may write one.
        text = "".join(self.texts).replace("\0", "\N{REPLACEMENT CHARACTER}")
        return {"text": text, "error": self.error, **self.measured()}

    def measured(self) -> SideEvent:
        return {
            "finish_reason": self.finish_reason,
            "usage": self.usage,
            "first_token_s": _rounded(self.first_token, self.started),
            "tokens_per_s": self.tokens_per_s(),
        }

    def tokens_per_s(self) -> float | None:
        """Tokens per second after the first token; None if there was no second token."""
        tokens = (self.usage or {}).get("completion_tokens", 0)
        span_s = _rounded(self.last_token, self.first_token)
        return round((tokens - 1) / span_s, 2) if span_s and tokens > 1 else None


def _rounded(later: float | None, earlier: float | None) -> float | None:
    return round(later - earlier, 4) if later is not None and earlier is not None else None


async def together(
    account: str, begun: ComparisonObject, sides: list[Side]
) -> AsyncGenerator[SideEvent, None]:
    """Yield the comparison, then the events of all sides as they come, until each has ended.

    The answers are stored before `[DONE]` is sent, and also if the client leaves.
    """
    yield {"comparison": begun.model_dump(mode="json")}
    events: asyncio.Queue[SideEvent] = asyncio.Queue()
    tasks = [asyncio.create_task(speak(side, events)) for side in sides]
    watching = asyncio.create_task(obey_stops(account, begun.id, sides, tasks, events))
    try:
        unfinished = len(sides)
        while unfinished:
            event = await events.get()
            yield event
            unfinished -= "done" in event or "error" in event
    finally:
        for task in (watching, *tasks):
            task.cancel()
        await asyncio.gather(watching, *tasks, return_exceptions=True)
        answers = {side.number: side.answer() for side in sides}
        await threads.run(threads.REQUESTS, account, _finish, begun.id, answers)


def _finish(comparison_id: str, answers: dict[int, SideEvent]) -> None:
    with transaction() as session:
        comparisons.finish(session, comparison_id, answers)


async def obey_stops(
    account: str,
    comparison_id: str,
    sides: list[Side],
    tasks: list[asyncio.Task[None]],
    events: asyncio.Queue[SideEvent],
) -> None:
    """Poll for requests to stop sides, which may reach another process, and end those sides."""
    while True:
        await asyncio.sleep(LOOK_FOR_STOPS_S)
        try:
            asked = await threads.run(threads.REQUESTS, account, _stopping, comparison_id)
        except OperationalError as error:
            logger.warning("could not look for stops of %s: %s", comparison_id, error)
            continue
        for number in asked:
            if not tasks[number].done():
                tasks[number].cancel()
                await asyncio.gather(tasks[number], return_exceptions=True)
                sides[number].finish_reason = "stopped"
                events.put_nowait(sides[number].end())


def _stopping(comparison_id: str) -> set[int]:
    with transaction() as session:
        return comparisons.stopping(session, comparison_id)


async def speak(side: Side, events: asyncio.Queue[SideEvent]) -> None:
    """Put one side's events into `events`; the last one holds `done` or `error`."""
    try:
        response = await upstream.ask(side.route, side.body)
        try:
            await _listen(side, response, events)
        finally:
            await response.aclose()
        events.put_nowait(side.end())
    except OddsmithError as error:
        events.put_nowait(side.fail(error))
    except Exception:
        events.put_nowait(side.fail(Unavailable("This answer failed because of a server error.")))
        raise


async def _listen(side: Side, response: httpx.Response, events: asyncio.Queue[SideEvent]) -> None:
    async for frame in upstream.frames(side.route, response):
        if not frame.startswith(b"data: "):
            continue
        text = side.heard(json.loads(frame.removeprefix(b"data: ")))
        if text:
            events.put_nowait({"side": side.number, "model": side.route.model, "delta": text})
