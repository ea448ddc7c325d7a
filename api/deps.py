"""What routes ask for: a session that commits before the answer is sent, and who is calling."""

from collections.abc import Awaitable, Callable, Iterator
from typing import Annotated

from fastapi import Depends, Security
from fastapi.security import HTTPAuthorizationCredentials, HTTPBearer
from sqlalchemy.orm import Session
from starlette.concurrency import run_in_threadpool

from services import api_keys, jobs
from services.callers import Caller, Scope
from services.database import transaction
from services.errors import Unauthenticated

bearer = HTTPBearer(auto_error=False, description="An API key, `sk-odd-...`.")


def open_session() -> Iterator[Session]:
    with transaction() as session:
        yield session


# `function`: the commit happens before the first byte of the answer, so that what was
# acknowledged is stored, and a stream holds no connection.
SessionDep = Annotated[Session, Depends(open_session, scope="function")]


async def authenticate(
    credentials: Annotated[HTTPAuthorizationCredentials | None, Security(bearer)],
) -> Caller:
    if credentials is None:
        raise Unauthenticated(
            "No API key was sent. Add the header `Authorization: Bearer sk-odd-...`.",
            code="missing_api_key",
        )
    known = api_keys.cached(credentials.credentials)
    return known or await run_in_threadpool(look_up, credentials.credentials)


def look_up(key: str) -> Caller:
    with transaction() as session:
        return api_keys.authenticate(session, key)


def scoped(scope: Scope) -> Callable[[Caller], Awaitable[Caller]]:
    async def check(caller: Annotated[Caller, Depends(authenticate)]) -> Caller:
        caller.require(scope)
        return caller

    return check


CallerDep = Annotated[Caller, Depends(scoped(Scope.READ))]
Writer = Annotated[Caller, Depends(scoped(Scope.WRITE))]
Admin = Annotated[Caller, Depends(scoped(Scope.ADMIN))]


def look_up_job(caller: Caller, job_id: str) -> None:
    """Raise NotFound before a stream begins, in a transaction that ends before it."""
    with transaction() as session:
        jobs.get(session, caller, job_id)
