"""Ends a running request, such as a stream, a download or a long answer, within seconds after its
key is revoked or its browser is signed out.

A key is looked up when its request begins. The keys of requests that are still running are looked
up again every few seconds, with one query for all of them.
"""

import asyncio
import logging
import time
from collections.abc import Collection
from dataclasses import dataclass, field
from typing import NamedTuple
from weakref import WeakKeyDictionary

from sqlalchemy.exc import SQLAlchemyError
from starlette.requests import HTTPConnection
from starlette.types import ASGIApp, Message, Receive, Scope, Send

from api import threads
from api.errors import body_of, respond, status_of
from services.access import api_keys, sign_ins
from services.platform.database import reading
from services.platform.errors import OddsmithError, Unauthenticated

logger = logging.getLogger("oddsmith.api")

LOOK_S = 5.0
# The name of a request's `Going` in its state.
STATE = "oddsmith_going"
ENDED = Unauthenticated(
    "This API key was revoked, or this browser was signed out, while the answer was on its way. "
    "Use another key, or sign in again.",
    code="revoked",
)


class Credential(NamedTuple):
    """What identifies a caller: the id of its key, and for a browser the hash of its token."""

    key_id: str | None = None
    sign_in: str | None = None


@dataclass(eq=False)
class Going:
    """A request that is being answered."""

    task: "asyncio.Task[object] | None" = field(default_factory=asyncio.current_task)
    began_at: float = field(default_factory=time.monotonic)
    credential: Credential | None = None
    is_over: bool = False

    def end(self) -> None:
        self.is_over = True
        if self.task is not None:
            self.task.cancel()


class Watch:
    """The requests of one event loop."""

    def __init__(self) -> None:
        self.going: set[Going] = set()
        self._looking: asyncio.Task[None] | None = None

    def add(self, going: Going) -> None:
        self.going.add(going)
        if self._looking is None or self._looking.done():
            self._looking = asyncio.create_task(self._look_on())

    async def _look_on(self) -> None:
        """Look every few seconds, until a look finds no request."""
        while self.going:
            await asyncio.sleep(LOOK_S)
            long_ago = time.monotonic() - LOOK_S
            old = {each: each.credential for each in self.going if each.began_at <= long_ago}
            known = {credential for credential in old.values() if credential is not None}
            ended = await self._ended(known) if known else set[Credential]()
            for each, credential in old.items():
                if credential in ended and each in self.going:
                    each.end()

    async def _ended(self, known: Collection[Credential]) -> set[Credential]:
        try:
            return await threads.run(threads.PROBES, threads.NO_KEY, ended_of, known)
        except (SQLAlchemyError, OddsmithError) as error:
            logger.warning("keys can't be looked at again: %s", type(error).__name__)
            return set()


_watches: "WeakKeyDictionary[asyncio.AbstractEventLoop, Watch]" = WeakKeyDictionary()


def ended_of(known: Collection[Credential]) -> set[Credential]:
    """Return the credentials that are no longer valid."""
    with reading() as session:
        keys = api_keys.revoked(session, set(filter(None, (each.key_id for each in known))))
        browsers = sign_ins.ended(session, set(filter(None, (each.sign_in for each in known))))
    return {each for each in known if each.key_id in keys or each.sign_in in browsers}


def note(request: HTTPConnection, credential: Credential) -> None:
    """Store the credential of a request's caller."""
    going = request.scope.get("state", {}).get(STATE)
    if going is not None:
        going.credential = credential


def is_over(scope: Scope) -> bool:
    """Whether a request was cancelled because its key was revoked."""
    going = scope.get("state", {}).get(STATE)
    return going is not None and going.is_over


class Standing:
    """Middleware that ends a request once its key is no longer valid."""

    def __init__(self, app: ASGIApp) -> None:
        self.app = app

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        if scope["type"] != "http":
            await self.app(scope, receive, send)
            return
        has_begun = False

        async def noting(message: Message) -> None:
            nonlocal has_begun
            has_begun = True
            await send(message)

        watch = _watches.setdefault(asyncio.get_running_loop(), Watch())
        going = scope.setdefault("state", {})[STATE] = Going()
        watch.add(going)
        try:
            await self.app(scope, receive, noting)
        except asyncio.CancelledError:
            if not going.is_over or going.task is None:
                raise
            going.task.uncancel()
            # An answer that has begun is broken off: a regular end would mark it as complete.
            if not has_begun:
                await respond(status_of(ENDED)[0], body_of(ENDED))(scope, receive, send)
        finally:
            watch.going.discard(going)
