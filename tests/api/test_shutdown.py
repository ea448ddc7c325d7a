"""SIGTERM to the API in the middle of answers: they end well, or say that they could not."""

import json
import signal
import subprocess
import threading
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import httpx
import pytest

from cli.stack import parts
from cli.stack.folder import Folder
from cli.stack.ports import LOOPBACK, Ports
from models.jobs import JobState
from services import seed
from services.database import transaction
from tests import records
from tests.api.conftest import KEY
from tests.api.fake_engine import PIECE, FakeEngine, deploy, serving, wait_until

pytestmark = [pytest.mark.slow, pytest.mark.timeout(120)]


class Listener(threading.Thread):
    """Reads an answer to its end."""

    def __init__(self, url: str, method: str, path: str, body: Any = None) -> None:
        super().__init__(daemon=True)
        self.lines: list[str] = []
        self.asked = (method, f"{url}{path}", body)
        self.start()

    def run(self) -> None:
        method, url, body = self.asked
        headers = {"Authorization": f"Bearer {KEY}"}
        with httpx.stream(method, url, json=body, headers=headers, timeout=60) as answer:
            self.lines.extend(line for line in answer.iter_lines() if line)


def chat(url: str, model: str) -> Listener:
    messages = [{"role": "user", "content": "Hello."}]
    body = {"model": f"acme/{model}", "messages": messages, "stream": True}
    return Listener(url, "POST", "/v1/chat/completions", body)


@pytest.fixture
def api(
    product: None, api_database_url: str, tmp_path: Path
) -> Iterator[tuple[str, subprocess.Popen[bytes]]]:
    """The address and the process of the API as `oddsmith up` starts it."""
    with Ports() as ports:
        port = ports.choose()
    url = f"http://{LOOPBACK}:{port}"
    env = parts.environment(
        Folder(tmp_path), api_url=url, database_url=api_database_url, redis_url=""
    )
    part = parts.api(env, LOOPBACK, port)
    with (tmp_path / "api.log").open("wb") as log:
        process = subprocess.Popen(
            part.argv, env=dict(part.env), cwd=parts.ROOT, stdout=log, stderr=log
        )
    try:
        assert wait_until(lambda: is_up(url), 60), (tmp_path / "api.log").read_text()
        yield url, process
    finally:
        process.kill()
        process.wait()


def is_up(url: str) -> bool:
    try:
        return httpx.get(f"{url}/openapi.json").status_code == 200
    except httpx.HTTPError:
        return False


def test_streams_end_or_say_that_the_server_left(api: tuple[str, subprocess.Popen[bytes]]) -> None:
    """Row 12 of the faults, for those who listen: no end is claimed that wasn't one."""
    url, process = api
    engine = FakeEngine({"slow": "x" * 8 * PIECE})
    with transaction() as session:
        job_id = records.job(session, seed.organization(session), JobState.QUEUED).id
    with serving(engine) as port:
        deploy(seed.ORG_ID, port, "slow", "silent")
        ending, outlasting = chat(url, "slow"), chat(url, "silent")
        following = Listener(url, "GET", f"/v1/fine_tuning/jobs/{job_id}/stream")
        assert wait_until(lambda: engine.open == 2 and ending.lines and following.lines)
        process.send_signal(signal.SIGTERM)
        assert process.wait(20) == -signal.SIGTERM  # uvicorn ends by it once it is done
        for listener in (ending, outlasting, following):
            listener.join(5)
        assert wait_until(lambda: engine.open == 0)
    assert ending.lines[-1] == "data: [DONE]"
    assert len([line for line in ending.lines if "xxx" in line]) == 8
    for listener in (outlasting, following):
        last = json.loads(listener.lines[-1].removeprefix("data: "))
        assert last["error"]["code"] == "restarting"
        assert "data: [DONE]" not in listener.lines
