"""The real application in this process, on an empty database and a new folder per test."""

from collections.abc import Callable, Iterator
from functools import partial
from pathlib import Path
from typing import Any

import openai
import pytest
from fastapi import FastAPI
from fastapi.testclient import TestClient

from api.app import create_app
from services.access import api_keys
from services.files import base_models, seed
from services.platform import database, queue
from services.platform.database import transaction
from tests import records
from tests.api.servers import serving
from tests.conftest import forget_connections
from workers import files as file_tasks
from workers import prepare_queue, removals

KEY = "sk-odd-for-tests-0123456789abcdefghijklmnopq"
OTHER = "sk-odd-another-key-0123456789abcdefghijklmnop"
TASKS: dict[str, Callable[..., None]] = {
    queue.Task.VALIDATE_FILE: file_tasks.validate,
    queue.Task.REMOVE: removals.remove,
    # Preparing jobs needs a process with torch; these tests don't run it.
    queue.Task.PREPARE: partial(prepare_queue.do_next, prepare_queue.unmade),
}
# What the core's check finds in every folder (`checked`).
FACTS = {"architecture": "LlamaForCausalLM", "parameters": 1, "size_bytes": 2}


@pytest.fixture
def product(
    settings_from: Callable[..., None], database_url: str, tmp_path: Path
) -> Iterator[None]:
    """Point the product's settings and connection, which `services` use, at a seeded database."""
    settings_from(database_url=database_url, var=tmp_path, storage_url="", redis_url="")
    forget_connections()
    with transaction() as session:
        seed.organization(session)
        seed.first_key(session, KEY)
    yield
    database.engine().dispose()
    forget_connections()


@pytest.fixture(scope="session")
def application() -> FastAPI:
    """The application. It keeps no state of ended requests, so it is made only once (50 ms)."""
    return create_app()


@pytest.fixture
def client(product: None, application: FastAPI) -> TestClient:
    """An HTTP client that sends the first key."""
    return TestClient(application, headers={"Authorization": f"Bearer {KEY}"})


@pytest.fixture
def stranger(product: None) -> str:
    """A key with all scopes, of an organisation that doesn't run the installation."""
    with transaction() as session:
        caller = records.caller(session, "stranger")
        return api_keys.create(session, caller, "theirs", ["admin"])[1]


@pytest.fixture
def other(product: None) -> None:
    """A second key, OTHER, of the same organisation."""
    with transaction() as session:
        api_keys.insert(session, seed.ORG_ID, "other", OTHER, ["read", "write", "admin"])


@pytest.fixture
def openai_client(client: TestClient) -> openai.OpenAI:
    """OpenAI's unmodified client; its requests go to the application in this process."""
    return openai.OpenAI(
        api_key=KEY, base_url="http://testserver/v1", http_client=client, max_retries=0
    )


@pytest.fixture
def real(client: TestClient, application: FastAPI) -> Iterator[openai.OpenAI]:
    """OpenAI's unmodified client on a server with a socket. It sends a request again if the server
    has just closed an idle connection.
    """
    with (
        serving(application, http="api.connections:Connection") as port,
        openai.OpenAI(api_key=KEY, base_url=f"http://127.0.0.1:{port}/v1") as found,
    ):
        yield found


@pytest.fixture
def checked(monkeypatch: pytest.MonkeyPatch) -> list[str]:
    """Make every folder pass the core's check; return the list of checked folders."""
    seen: list[str] = []

    def run_verb(verb: str, path: str, **_: Any) -> dict[str, Any]:
        if verb == "check_model":
            seen.append(path)
        return {"ok": True, "problems": [], **FACTS}

    monkeypatch.setattr(base_models, "run_verb", run_verb)
    return seen


@pytest.fixture
def work(product: None) -> Callable[[], None]:
    """Run each task that is in the outbox at the call, as its worker would (see TASKS)."""

    def run() -> None:
        messages: list[tuple[str, dict[str, Any]]] = []
        with transaction() as session:
            queue.dispatch(session, lambda task, arguments: messages.append((task, arguments)))
        for task, arguments in messages:
            if task in TASKS:
                TASKS[task](**arguments)

    return run
