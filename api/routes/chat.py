"""`/v1/chat/completions`: forwards requests to the engine that serves the model."""

import json
from collections.abc import AsyncGenerator

import anyio
import httpx
from fastapi import Request
from starlette.responses import Response, StreamingResponse
from starlette.types import Receive, Scope, Send

from api import media, places, sse, upstream
from api.deps import Chatter
from api.places import PlacesDep
from api.routing import Router
from api.schemas.chat import ChatRequest
from services.serving.deployments import Route

router = Router(tags=["chat"])

# It is not sent, since the connection is closed. It shows in the logs that the client left.
CLIENT_LEFT = 499


@router.post(
    "/v1/chat/completions",
    summary="Chat with a deployed model",
    response_class=StreamingResponse,
    responses=media.CHAT,
)
async def complete(
    request: Request, caller: Chatter, room: PlacesDep, body: ChatRequest
) -> Response:
    """Answer as OpenAI's API does, with a deployed model. A stream ends with `[DONE]`, or with an
    error if it broke off. Unknown fields are refused.
    """
    route = await upstream.find_route(caller, body.model)
    answers = body.n or 1
    await room.take(answers, places.cost(body, answers))
    try:
        response = await upstream.unless_left(
            request, upstream.ask(route, body.upstream(route.upstream_model))
        )
        if body.stream:
            return Relay(route, response)
        return await upstream.unless_left(request, _whole(route, response))
    except upstream.ClientLeftError:
        return Response(status_code=CLIENT_LEFT)


class Relay(sse.EventStream):
    """Forwards frames as they come. The connection to the engine is closed in any case."""

    def __init__(self, route: Route, response: httpx.Response) -> None:
        super().__init__(sse.whole(_relayed(route, response)), "chat")
        self.response = response

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        try:
            await super().__call__(scope, receive, send)
        finally:
            await _close(self.response)


async def _relayed(route: Route, response: httpx.Response) -> AsyncGenerator[bytes, None]:
    """The engine's frames, with the model named as the caller knows it."""
    ours, theirs = _names(route)
    async for frame in upstream.frames(route, response):
        yield frame.replace(theirs, ours, 1) + b"\n\n"


async def _whole(route: Route, response: httpx.Response) -> Response:
    ours, theirs = _names(route)
    try:
        content = await response.aread()
    except httpx.TransportError as error:
        raise upstream.broken(route) from error
    finally:
        await _close(response)
    return Response(content.replace(theirs, ours, 1), media_type="application/json")


def _names(route: Route) -> tuple[bytes, bytes]:
    """The JSON field `model` as the caller knows it, and as the engine writes it.

    Every quote within a JSON string is escaped, so an answer's text can't contain this field.
    """
    return _model_field(route.model), _model_field(route.upstream_model)


def _model_field(name: str) -> bytes:
    return b'"model":' + json.dumps(name, ensure_ascii=False).encode()


async def _close(response: httpx.Response) -> None:
    # Shielded: this task is cancelled when the client leaves. Closing the answer stops the engine.
    with anyio.CancelScope(shield=True):
        await response.aclose()
