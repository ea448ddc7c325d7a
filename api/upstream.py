"""The engines as the API sees them: pools of connections, requests out, frames back.

Caches the address of a model for a second. Reads nothing of a request: `admission` does.
"""

import asyncio
import json
import logging
import os
import ssl
import time
from collections.abc import AsyncIterator, Awaitable
from typing import Any, TypeVar
from weakref import WeakKeyDictionary

import httpx
from starlette.requests import Request

from api import meters, threads
from services.access.callers import Caller
from services.platform.database import transaction
from services.platform.errors import Invalid, OddsmithError, Unavailable
from services.serving import deployments
from services.serving.admission import admitted
from services.serving.deployments import Route

logger = logging.getLogger("oddsmith.api")

Result = TypeVar("Result")

# The name of a request's extension that holds when it was sent.
ASKED_AT = "oddsmith_asked_at"
ROUTE_S = 1.0
MAX_ROUTES = 4096
# An engine's server closes a silent connection after 5 s. We close ours earlier, to avoid a race.
KEEPALIVE_S = 4.0
# A request may wait long in a full engine before its first token.
TIMEOUT = httpx.Timeout(10, connect=5, read=600, pool=60)
LIMITS = httpx.Limits(
    max_connections=None, max_keepalive_connections=200, keepalive_expiry=KEEPALIVE_S
)

# By the path of an engine's Unix socket; None has the pool for all engines on a network.
Pools = dict[str | None, httpx.AsyncClient]
# Each event loop has its own pools: connections can't be shared between loops.
_pools: "WeakKeyDictionary[asyncio.AbstractEventLoop, Pools]" = WeakKeyDictionary()
_closing: set[asyncio.Task[None]] = set()
_routes: dict[tuple[str, str], tuple[float, Route]] = {}


class ClientLeftError(Exception):
    """The client has closed the connection."""


def client(socket: str | None) -> httpx.AsyncClient:
    """The pool of connections to an engine's Unix socket, or with None to engines on a network."""
    pools = _pools.setdefault(asyncio.get_running_loop(), {})
    if socket not in pools:
        _close_abandoned(pools)
        # Without certificates, which would take 30 ms to read: engines use plain HTTP.
        no_tls = ssl.SSLContext(ssl.PROTOCOL_TLS_CLIENT)
        transport = httpx.AsyncHTTPTransport(verify=no_tls, limits=LIMITS, uds=socket)
        headers = {"accept-encoding": "identity"}
        # The environment's proxies must not be used for engines.
        pools[socket] = httpx.AsyncClient(
            transport=transport, timeout=TIMEOUT, headers=headers, trust_env=False
        )
    return pools[socket]


def _close_abandoned(pools: Pools) -> None:
    """Close the pools of engines that are gone: the worker has removed their sockets."""
    for socket in [path for path in pools if path and not os.path.exists(path)]:  # noqa: PTH110
        task = asyncio.get_running_loop().create_task(pools.pop(socket).aclose())
        _closing.add(task)
        task.add_done_callback(_closing.discard)


async def find_route(caller: Caller, model: str, param: str = "model") -> Route:
    """Return the route to `model`, looked up at most once a second; NotFound unless it is ready."""
    known = _routes.get((caller.org_id, model))
    if known is not None and known[0] > time.monotonic():
        return known[1]
    route = await threads.run(threads.REQUESTS, caller.account, _look_up, caller, model, param)
    if len(_routes) >= MAX_ROUTES:
        _routes.clear()
    _routes[caller.org_id, model] = (time.monotonic() + ROUTE_S, route)
    return route


def _look_up(caller: Caller, model: str, param: str) -> Route:
    with transaction() as session:
        return deployments.route(session, caller, model, param)


async def ask(route: Route, body: dict[str, Any]) -> httpx.Response:
    """Send a chat request and return the engine's answer, its body still to be read.

    Raises Invalid if `admitted` or the engine refuses the request, and Unavailable if the engine
    can't answer.
    """
    body = admitted(route, body)
    engine = client(route.upstream.socket)
    url = f"{route.upstream.url}/v1/chat/completions"
    request = engine.build_request("POST", url, json=body, headers=route.upstream.headers)
    request.extensions[ASKED_AT] = time.perf_counter()
    meters.chat_requests.inc()
    try:
        response = await engine.send(request, stream=True)
        if response.is_success:
            return response
        raise _refusal(route, response.status_code, await _read(response))
    except httpx.TransportError as error:
        raise broken(route) from error


async def _read(response: httpx.Response) -> bytes:
    try:
        return await response.aread()
    finally:
        await response.aclose()


def _refusal(route: Route, status: int, content: bytes) -> OddsmithError:
    if status != 400:
        # 404: the adapter isn't there (again) yet; 5xx: the engine is going down.
        if status == 401:
            logger.error("the engine refuses our key: oddsmith_engine_secret must be the worker's")
        return broken(route)
    meters.chat_failures.labels("refused").inc()
    error = _error_of(content)
    message = str(error.get("message") or "The engine refused the request.")
    param = error.get("param")
    return Invalid(message, param=param if isinstance(param, str) else None)


def _error_of(content: bytes) -> dict[str, Any]:
    try:
        error = json.loads(content)["error"]
    except (ValueError, KeyError, TypeError):
        return {}
    return error if isinstance(error, dict) else {}


def broken(route: Route) -> Unavailable:
    """Return the error for an engine that stopped answering, and drop its cached routes."""
    meters.chat_failures.labels("engine").inc()
    for key in [key for key, (_, known) in _routes.items() if known == route]:
        del _routes[key]
    return Unavailable(
        f"The engine of '{route.model}' stopped answering and is being started again: "
        "try again in a minute; GET /v1/deployments shows when it is ready.",
        code="engine_unavailable",
    )


async def frames(route: Route, response: httpx.Response) -> AsyncIterator[bytes]:
    """Yield each `data: ...` frame of a stream as it comes, without its blank line.

    Returns after the engine's `[DONE]`. Raises Unavailable if the stream breaks off, or if the
    engine reports an error in it (vLLM sends `[DONE]` after an error, too).
    """
    rest, is_done, is_first = b"", False, True
    try:
        # Read to the very end, also after `[DONE]`: only a connection that was read out is reused.
        async for chunk in response.aiter_raw():
            *whole, rest = (rest + chunk).split(b"\n\n")
            for frame in whole:
                if frame.startswith(b'data: {"error"'):
                    raise broken(route)
                if frame == b"data: [DONE]":
                    is_done = True
                else:
                    if is_first:
                        # vLLM sends nothing before its first token.
                        asked_at = response.request.extensions[ASKED_AT]
                        meters.first_token_s.observe(time.perf_counter() - asked_at)
                        is_first = False
                    yield frame
    except httpx.TransportError as error:
        raise broken(route) from error
    if not is_done:
        raise broken(route)


async def unless_left(request: Request, work: Awaitable[Result]) -> Result:
    """Await `work`, but cancel it at once when the client leaves (ClientLeftError)."""
    working = asyncio.ensure_future(work)
    leaving = asyncio.ensure_future(_left(request))
    try:
        await asyncio.wait({working, leaving}, return_when=asyncio.FIRST_COMPLETED)
        if not working.done():
            raise ClientLeftError
        return working.result()
    finally:
        leaving.cancel()
        working.cancel()


async def _left(request: Request) -> None:
    while (await request.receive())["type"] != "http.disconnect":
        continue
