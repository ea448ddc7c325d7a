"""A synchronous endpoint and the resources that it opens and closes run on one thread."""

import asyncio
import threading
from collections.abc import Iterator
from contextlib import AbstractContextManager, contextmanager
from typing import Annotated

import httpx
import pytest
from fastapi import Depends, FastAPI
from pydantic import BaseModel

from api.routing import Router

seen: list[tuple[str, int]] = []
connections = threading.Semaphore(1)


class Thing(BaseModel):
    name: str


@contextmanager
def opened() -> Iterator[str]:
    with connections:
        seen.append(("opened", threading.get_ident()))
        try:
            yield "a session"
        except ValueError:
            seen.append(("rolled back", threading.get_ident()))
            raise
        seen.append(("closed", threading.get_ident()))


async def to_be_opened() -> AbstractContextManager[str]:
    return opened()


Opened = Annotated[str, Depends(to_be_opened)]
router = Router()


@router.get("/things/{name}")
def retrieve(session: Opened, name: str) -> Thing:
    """What the API says of it."""
    seen.append((session, threading.get_ident()))
    if name == "broken":
        raise ValueError(name)
    return Thing(name=name)


@router.get("/loop")
async def on_the_loop() -> Thing:
    return Thing(name=str(threading.get_ident()))


@pytest.fixture
def app() -> FastAPI:
    seen.clear()
    made = FastAPI()
    made.include_router(router)
    return made


def ask(app: FastAPI, *paths: str) -> list[httpx.Response]:
    async def all_at_once() -> list[httpx.Response]:
        transport = httpx.ASGITransport(app, raise_app_exceptions=False)
        async with httpx.AsyncClient(transport=transport, base_url="http://api") as client:
            return await asyncio.wait_for(asyncio.gather(*map(client.get, paths)), 20)

    return asyncio.run(all_at_once())


def test_all_of_it_happens_on_one_thread_before_the_answer(app: FastAPI) -> None:
    (answer,) = ask(app, "/things/lamp")
    assert answer.json() == {"name": "lamp"}
    assert [what for what, _ in seen] == ["opened", "a session", "closed"]
    threads = {thread for _, thread in seen}
    assert len(threads) == 1
    assert threads != {threading.get_ident()}


def test_what_an_endpoint_raises_is_seen_by_what_it_opened(app: FastAPI) -> None:
    (answer,) = ask(app, "/things/broken")
    assert answer.status_code == 500
    assert [what for what, _ in seen] == ["opened", "a session", "rolled back"]


def test_many_requests_share_few_threads_and_connections(app: FastAPI) -> None:
    answers = ask(app, *(f"/things/{n}" for n in range(50)))
    assert [answer.json()["name"] for answer in answers] == [str(n) for n in range(50)]


def test_an_asynchronous_endpoint_stays_on_the_loop(app: FastAPI) -> None:
    (answer,) = ask(app, "/loop")
    assert answer.json() == {"name": str(threading.get_ident())}


def test_the_description_is_the_endpoint_s(app: FastAPI) -> None:
    described = app.openapi()["paths"]["/things/{name}"]["get"]
    assert described["description"] == "What the API says of it."
    assert [each["name"] for each in described["parameters"]] == ["name"]
