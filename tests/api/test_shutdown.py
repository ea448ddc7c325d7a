"""SIGTERM to the API during answers: each is completed or ends with an error."""

import json
import signal
import threading
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import httpx
import pytest

from cli.stack.ports import LOOPBACK, Ports
from cli.stack.scratch import ScratchApi
from models.jobs import JobState
from services.files import seed
from services.platform.database import transaction
from tests import records
from tests.api.conftest import KEY
from tests.api.fake_engine import PIECE, FakeEngine, deploy, wait_until
from tests.api.servers import serving

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
def api(product: None, database_url: str, tmp_path: Path) -> Iterator[ScratchApi]:
    with Ports() as ports:
        url = f"http://{LOOPBACK}:{ports.choose()}"
    api = ScratchApi(url, KEY, database_url, "", tmp_path)
    api.start()
    yield api
    api.process.kill()
    api.process.wait()


def test_streams_end_or_say_that_the_server_left(api: ScratchApi) -> None:
    """Row 12 of the fault table, on the client's side: no unfinished answer ends as if complete."""
    engine = FakeEngine({"slow": "x" * 8 * PIECE})
    with transaction() as session:
        job_id = records.job(session, seed.organization(session), JobState.QUEUED).id
    with serving(engine) as port:
        deploy(seed.ORG_ID, port, "slow", "silent")
        ending, outlasting = chat(api.url, "slow"), chat(api.url, "silent")
        following = Listener(api.url, "GET", f"/v1/fine_tuning/jobs/{job_id}/stream")
        assert wait_until(lambda: engine.open == 2 and ending.lines and following.lines)
        api.process.send_signal(signal.SIGTERM)
        assert api.process.wait(20) == -signal.SIGTERM  # uvicorn re-raises it at the end
        for listener in (ending, outlasting, following):
            listener.join(5)
        assert wait_until(lambda: engine.open == 0)
    assert ending.lines[-1] == "data: [DONE]"
    assert len([line for line in ending.lines if "xxx" in line]) == 8
    for listener in (outlasting, following):
        last = json.loads(listener.lines[-1].removeprefix("data: "))
        assert last["error"]["code"] == "restarting"
        assert "data: [DONE]" not in listener.lines
