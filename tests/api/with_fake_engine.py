"""Fixtures of the API before a fake engine: `pytest_plugins = ["tests.api.with_fake_engine"]`."""

from collections.abc import Iterator
from unittest.mock import patch

import httpx
import openai
import pytest
from fastapi import FastAPI

from api import standing, upstream
from services.files import seed
from tests.api.conftest import KEY
from tests.api.fake_engine import NAMES, FakeEngine, deploy, wait_until
from tests.api.servers import Exchangeable, serving


@pytest.fixture(scope="session")
def engine_server() -> Iterator[tuple[Exchangeable, int]]:
    """One server, and its port, for the fake engines of all tests: starting one takes 0.2 s."""
    engine = Exchangeable(None)
    with serving(engine, lifespan="off") as port:
        yield engine, port


@pytest.fixture(scope="session")
def api_port(application: FastAPI) -> Iterator[int]:
    """The port of the API on a real socket, which all tests share for the same reason.

    It looks often whether the keys of its requests still stand.
    """
    with patch.object(standing, "LOOK_S", 0.1), serving(application) as port:
        yield port


@pytest.fixture
def fake_engine(engine_server: tuple[Exchangeable, int]) -> FakeEngine:
    """A fake engine that this test alone asks."""
    engine_server[0].app = FakeEngine()
    return engine_server[0].app


@pytest.fixture
def api_url(
    product: None, api_port: int, fake_engine: FakeEngine, engine_server: tuple[Exchangeable, int]
) -> Iterator[str]:
    """The address of the API, its models deployed on the fake engine."""
    upstream._routes.clear()
    deploy(seed.ORG_ID, engine_server[1], *NAMES)
    yield f"http://127.0.0.1:{api_port}"
    assert wait_until(lambda: fake_engine.open == 0)  # the API has left it, too


@pytest.fixture
def http(api_url: str) -> Iterator[httpx.Client]:
    with httpx.Client(base_url=api_url, headers={"Authorization": f"Bearer {KEY}"}) as client:
        yield client


@pytest.fixture
def chat(api_url: str) -> Iterator[openai.OpenAI]:
    with openai.OpenAI(base_url=f"{api_url}/v1", api_key=KEY, max_retries=0) as client:
        yield client
