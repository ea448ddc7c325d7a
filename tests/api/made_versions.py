"""Versions that tests make: the verbs of the core run in the test's process."""

import io
import json
from collections.abc import Callable
from contextlib import redirect_stderr, redirect_stdout
from importlib import import_module
from pathlib import Path
from typing import Any

import pytest
from fastapi.testclient import TestClient

from services.files import versions
from services.processes.verbs import VerbError
from tests.api.sent_files import jsonl, post
from workers import files as file_tasks

PAIRS = [
    {"prompt": f"Question {n}?", "chosen": "Yes.", "rejected": "I could not say."} for n in range(6)
]
WITH_PROCESSES = "test_a_version_is_a_file_that_names_its_parent_and_its_recipe"
SWAP = {"step": "swap", "lines": [2]}
DROP = {"step": "drop_rows", "lines": [1, 3]}


def in_this_process(verb: str, *arguments: str, **_: Any) -> dict[str, Any]:
    """`run_verb` without the second that a process takes. The first test has real processes."""
    given: list[Any] = [Path(each) if each.startswith("/") else each for each in arguments]
    if verb == "audit":
        raise VerbError({"code": "internal", "message": "Other tests audit files."})
    if verb == "make":
        given = [*given, None][:2]
    with redirect_stdout(io.StringIO()) as printed, redirect_stderr(io.StringIO()):
        import_module(f"orpo.{verb}").main(*given)
    answer = json.loads(printed.getvalue().splitlines()[-1])
    if "error" in answer:
        raise VerbError(answer["error"])
    return answer


@pytest.fixture(autouse=True)
def quick(request: pytest.FixtureRequest, monkeypatch: pytest.MonkeyPatch) -> None:
    if request.node.name != WITH_PROCESSES:
        for module in (versions, file_tasks):
            monkeypatch.setattr(module, "run_verb", in_this_process)


@pytest.fixture
def parent(client: TestClient, work: Callable[[], None]) -> str:
    file_id = post(client, jsonl(PAIRS), "pairs.jsonl").json()["id"]
    work()
    return file_id


def make(client: TestClient, file_id: str, *steps: dict[str, Any], **more: Any) -> Any:
    return client.post(f"/v1/files/{file_id}/versions", json={"recipe": list(steps), **more})


def show(client: TestClient, file_id: str) -> dict[str, Any]:
    return client.get(f"/v1/files/{file_id}").raise_for_status().json()
