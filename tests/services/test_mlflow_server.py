"""Mirrors at a real MLflow server. The server is no part of the install: name its command, as in
`ODDSMITH_MLFLOW_COMMAND=/somewhere/bin/mlflow`, where `mlflow` was installed into an environment of
its own.
"""

import json
import os
import signal
import socket
import subprocess
import time
import urllib.request
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest

from models.mirrors import MirrorStatus
from tests.services.mirroring import (
    MLFLOW,
    end,
    organization,
    run_again,
    run_due,
    running,
    state,
    train,
)
from workers import mirrors as worker

__all__ = ["organization"]

COMMAND = os.environ.get("ODDSMITH_MLFLOW_COMMAND")
pytestmark = [
    pytest.mark.slow,
    pytest.mark.skipif(not COMMAND, reason="ODDSMITH_MLFLOW_COMMAND names no MLflow server"),
    pytest.mark.usefixtures("organization"),
]


class Server:
    """`mlflow server` on loopback, with SQLite and a folder for artifacts."""

    def __init__(self, folder: Path) -> None:
        with socket.create_server(("127.0.0.1", 0)) as free:
            port = free.getsockname()[1]
        self.url = f"http://127.0.0.1:{port}"
        argv = [
            str(COMMAND), "server", "--host", "127.0.0.1", "--port", str(port), "--workers", "1",
            "--backend-store-uri", f"sqlite:///{folder}/runs.db",
            "--artifacts-destination", str(folder / "artifacts"),
        ]  # fmt: skip
        with (folder / "log").open("wb") as log:
            self.process = subprocess.Popen(
                argv,
                stdout=log,
                stderr=log,
                env=os.environ | {"MLFLOW_DISABLE_TELEMETRY": "true"},
                start_new_session=True,
            )
        until = time.monotonic() + 120
        while not self._answers():
            assert time.monotonic() < until, (folder / "log").read_text()
            time.sleep(0.2)

    def _answers(self) -> bool:
        try:
            with urllib.request.urlopen(f"{self.url}/health", timeout=1):
                return True
        except OSError:
            return False

    def get(self, path: str) -> dict[str, Any]:
        with urllib.request.urlopen(f"{self.url}/api/2.0/mlflow/{path}", timeout=20) as answer:
            return json.load(answer)

    def send(self, number: int) -> None:
        os.killpg(self.process.pid, number)


@pytest.fixture(scope="module")
def server(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Server]:
    server = Server(tmp_path_factory.mktemp("mlflow"))
    yield server
    server.send(signal.SIGKILL)
    server.process.wait()


def points(server: Server, run_id: str | None) -> list[tuple[int, float]]:
    query = f"metrics/get-history?run_id={run_id}&metric_key=train/loss"
    return [(each["step"], each["value"]) for each in server.get(query)["metrics"]]


def test_it_has_each_number_once_with_settings_samples_and_the_end(
    server: Server, settings_from: Callable[..., None]
) -> None:
    settings_from(mlflow_uri=server.url)
    job_id = running(MLFLOW)
    train(job_id, 1, 3)
    run_due()
    before = state(job_id)
    train(job_id, 4, 6)
    run_due()
    run_again(job_id, before.position)
    end(job_id)
    run_due()
    mirror = state(job_id)
    assert (mirror.status, mirror.run_id) == (MirrorStatus.DONE, before.run_id)
    assert points(server, mirror.run_id) == [(n, n / 4) for n in range(1, 7)]
    run = server.get(f"runs/get?run_id={mirror.run_id}")["run"]
    assert (run["info"]["run_name"], run["info"]["status"]) == ("first", "FINISHED")
    assert {"key": "metadata.team", "value": "red"} in run["data"]["params"]
    listed = server.get(f"artifacts/list?run_id={mirror.run_id}&path=samples/step-6")["files"]
    assert [file["path"] for file in listed] == ["samples/step-6/line-7.txt"]


def test_it_catches_up_after_it_was_away(
    server: Server, settings_from: Callable[..., None], monkeypatch: pytest.MonkeyPatch
) -> None:
    settings_from(mlflow_uri=server.url)
    job_id = running(MLFLOW)
    train(job_id, 1, 2)
    run_due()
    server.send(signal.SIGSTOP)
    try:
        train(job_id, 3, 4)
        end(job_id)
        with monkeypatch.context() as shorter:
            shorter.setattr(worker, "TIMEOUT_S", 5)
            run_due()
        assert (state(job_id).failures, state(job_id).position["train"]) == (1, 2)
    finally:
        server.send(signal.SIGCONT)
    run_due()
    assert state(job_id).status == MirrorStatus.DONE
    assert points(server, state(job_id).run_id) == [(n, n / 4) for n in range(1, 5)]
