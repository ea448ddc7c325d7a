"""Runs a synchronous endpoint in one visit to a thread, from BEGIN to COMMIT."""

from collections.abc import Callable
from contextlib import AbstractContextManager, ExitStack
from functools import partial, wraps
from inspect import iscoroutinefunction
from typing import Any

from fastapi import APIRouter
from fastapi.routing import APIRoute

from api import threads
from services.access.callers import Caller


class OneVisit(APIRoute):
    """A route that enters and leaves its dependencies' context managers around the endpoint.

    FastAPI would use a thread three times: for the endpoint, for the code after a dependency's
    `yield`, and to validate the answer. In between, a request that holds a database connection
    waits for a thread. This can be a deadlock: all threads may wait for a connection.
    """

    def __init__(self, path: str, endpoint: Callable[..., Any], **options: Any) -> None:
        runs_on_loop = iscoroutinefunction(endpoint)
        super().__init__(path, endpoint if runs_on_loop else in_thread(endpoint), **options)


def in_thread(endpoint: Callable[..., Any]) -> Callable[..., Any]:
    """Return the endpoint as a coroutine that runs it in one visit to a thread."""

    @wraps(endpoint)
    async def visit(**values: Any) -> Any:
        caller = values.get("caller")
        key = caller.account if isinstance(caller, Caller) else threads.NO_KEY
        return await threads.run(threads.REQUESTS, key, call, values)

    def call(values: dict[str, Any]) -> Any:
        with ExitStack() as opened:
            for name, value in values.items():
                if isinstance(value, AbstractContextManager):
                    values[name] = opened.enter_context(value)
            return endpoint(**values)

    return visit


Router = partial(APIRouter, route_class=OneVisit)
