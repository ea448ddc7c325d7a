"""Fixtures of the API before a fake engine: `pytest_plugins = ["tests.api.with_fake_engine"]`."""

from collections.abc import Iterator

import httpx
import openai
import pytest

from api import upstream
from api.app import create_app
from services.files import seed
from tests.api.conftest import KEY
from tests.api.fake_engine import NAMES, FakeEngine, deploy, serving


@pytest.fixture
def fake_engine() -> FakeEngine:
    return FakeEngine()


@pytest.fixture
def api_url(product: None, fake_engine: FakeEngine) -> Iterator[str]:
    """The address of the API on a real socket, its models deployed on the fake engine."""
    upstream._routes.clear()
    with serving(fake_engine) as engine_port, serving(create_app()) as port:
        deploy(seed.ORG_ID, engine_port, *NAMES)
        yield f"http://127.0.0.1:{port}"


@pytest.fixture
def http(api_url: str) -> Iterator[httpx.Client]:
    with httpx.Client(base_url=api_url, headers={"Authorization": f"Bearer {KEY}"}) as client:
        yield client


@pytest.fixture
def chat(api_url: str) -> openai.OpenAI:
    return openai.OpenAI(base_url=f"{api_url}/v1", api_key=KEY, max_retries=0)
