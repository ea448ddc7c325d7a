"""Dependencies of routes: a session that commits before the answer is sent, and the caller."""

from collections.abc import Awaitable, Callable
from contextlib import AbstractContextManager
from typing import Annotated
from urllib.parse import urlsplit

from fastapi import Depends, Request, Security
from fastapi.security import HTTPAuthorizationCredentials, HTTPBearer
from sqlalchemy.orm import Session

from api import standing, threads
from api.standing import Credential
from models.jobs import Purpose
from services.access import api_keys, budgets, sign_ins
from services.access.budgets import Budget
from services.access.callers import Caller, Scope
from services.jobs import jobs
from services.platform.database import reading, transaction
from services.platform.errors import Denied, Unauthenticated

COOKIE = "oddsmith_session"
HARMLESS = {"GET", "HEAD", "OPTIONS"}

bearer = HTTPBearer(auto_error=False, description="An API key, `sk-odd-...`.")


# The route opens and closes it (`api/routing.py`), on the thread of the endpoint. It commits before
# the first byte of the answer, so whatever was acknowledged is stored, and a stream holds no
# database connection.
async def open_session() -> AbstractContextManager[Session]:
    """Return a transaction that the route opens, and commits before it answers."""
    return transaction()


async def open_reader() -> AbstractContextManager[Session]:
    """The same for a route that only reads."""
    return reading()


SessionDep = Annotated[Session, Depends(open_session)]
# For routes that only read.
ReaderDep = Annotated[Session, Depends(open_reader)]


async def authenticate(
    request: Request,
    credentials: Annotated[HTTPAuthorizationCredentials | None, Security(bearer)],
) -> Caller:
    """Return the caller, known by the key in the header or by the cookie of a signed-in browser."""
    if credentials is None and COOKIE in request.cookies:
        same_origin(request)
        token = request.cookies[COOKIE]
        caller = await threads.run(threads.REQUESTS, threads.NO_KEY, look_up_browser, token)
        standing.note(request, Credential(caller.api_key_id, api_keys.digest(token)))
        return caller
    if credentials is None:
        raise Unauthenticated(
            "No API key was sent. Add the header `Authorization: Bearer sk-odd-...`.",
            code="missing_api_key",
        )
    caller = api_keys.cached(credentials.credentials) or await threads.run(
        threads.REQUESTS, threads.NO_KEY, look_up, credentials.credentials
    )
    standing.note(request, Credential(caller.api_key_id))
    return caller


def look_up(key: str) -> Caller:
    """Return the caller of an API key, or raise Unauthenticated."""
    with reading() as session:
        return api_keys.authenticate(session, key)


def look_up_browser(token: str) -> Caller:
    """Return the caller of a browser's cookie, or raise Unauthenticated."""
    with reading() as session:
        return sign_ins.authenticate(session, token)


def same_origin(request: Request) -> None:
    """Raise Denied if a page of another origin made the browser send a request with effects.

    SameSite=Strict keeps the cookie from other sites. But a site is wider than an origin: it
    includes all ports of this machine. Browsers send Origin with each request that isn't harmless.
    """
    if request.method in HARMLESS or _origin(request) == request.url.netloc:
        return
    raise Denied(
        "A browser's session works from this server's own pages only. Programs send "
        "`Authorization: Bearer sk-odd-...` instead.",
        code="wrong_origin",
    )


def _origin(request: Request) -> str | None:
    """Host and port that the browser names as the request's origin, if they can be read."""
    try:
        return urlsplit(request.headers.get("origin", "")).netloc or None
    except ValueError:
        return None


def scoped(scope: Scope) -> Callable[..., Awaitable[Caller]]:
    """Return a dependency that gives the caller, or raises Denied where its key lacks `scope`."""

    async def check(request: Request, caller: Annotated[Caller, Depends(authenticate)]) -> Caller:
        caller.require(scope)
        if request.method not in HARMLESS:
            await threads.run(
                threads.REQUESTS, caller.account, budgets.spend, caller.account, Budget.CHANGES
            )
        return caller

    check.scope = scope  # pyright: ignore[reportFunctionMemberAccess] - for api/document.py
    return check


CallerDep = Annotated[Caller, Depends(scoped(Scope.READ))]
Voter = Annotated[Caller, Depends(scoped(Scope.VOTE))]
Chatter = Annotated[Caller, Depends(scoped(Scope.CHAT))]
Writer = Annotated[Caller, Depends(scoped(Scope.WRITE))]
Admin = Annotated[Caller, Depends(scoped(Scope.ADMIN))]


def look_up_job(caller: Caller, job_id: str, purpose: Purpose = Purpose.TRAIN) -> None:
    """Raise NotFound if there is no such job. The session ends before the stream begins."""
    with reading() as session:
        jobs.get(session, caller, job_id, purpose=purpose)
