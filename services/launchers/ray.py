"""Runs on a Ray cluster, through the REST API of Ray's jobs.

The platform needs no `ray` package: it asks for a job that runs `ray_driver.py` on the cluster. Ray
refuses a second job of the same name, so one generation of a run is submitted once
(docs/decisions/0032-launchers.md).
"""

import json
from http import HTTPStatus
from typing import Any

import httpx

from services.launchers.cluster import Phase, Request, Status, Unreachable
from services.platform.settings import get_settings

TIMEOUT_S = 5.0  # short: the worker that waits holds a lease
PHASES = {"PENDING": Phase.WAITING, "RUNNING": Phase.RUNNING}


class Ray:
    """A Ray cluster's job server at ODDSMITH_RAY_ADDRESS, with the token of the cluster."""

    title = "Ray"

    def __init__(self, transport: httpx.BaseTransport | None = None) -> None:
        settings = get_settings()
        token = settings.ray_token.get_secret_value()
        self._client = httpx.Client(
            base_url=settings.ray_address,
            headers={"Authorization": f"Bearer {token}"} if token else {},
            timeout=TIMEOUT_S,
            transport=transport,
            trust_env=False,
        )

    def submit(self, request: Request) -> None:
        device = "gpu" if request.on_gpus else "cpu"
        body = {
            "entrypoint": request.shell("ray_driver", f"--device={device}"),
            "submission_id": request.name,
            "metadata": {"run": request.run_dir.parent.name},
        }
        answer = self._ask("POST", "/api/jobs/", json=body)
        if answer.is_success or "already exists" in answer.text:
            return
        raise Unreachable(f"Waits for Ray, which refuses the run: {_last_line(answer.text)}")

    def look(self, name: str) -> Status:
        answer = self._ask("GET", f"/api/jobs/{name}")
        if answer.status_code == HTTPStatus.NOT_FOUND:
            return Status(Phase.UNKNOWN)
        job = _object(answer)
        phase = PHASES.get(job.get("status", ""), Phase.ENDED)
        message = _last_line(job.get("message") or "")
        if phase is Phase.WAITING:
            return Status(phase, "it is in the queue.")
        return Status(phase, message, job.get("driver_exit_code"))

    def stop(self, name: str) -> None:
        self._ask("POST", f"/api/jobs/{name}/stop")

    def _ask(self, verb: str, path: str, **more: Any) -> httpx.Response:
        try:
            answer = self._client.request(verb, path, **more)
        except httpx.HTTPError as error:
            where = self._client.base_url
            what = str(error) or type(error).__name__
            raise Unreachable(f"Waits for Ray: {where} can't be reached ({what}).") from None
        if answer.status_code in (HTTPStatus.UNAUTHORIZED, HTTPStatus.FORBIDDEN):
            raise Unreachable("Waits for Ray, which refuses the token: check ODDSMITH_RAY_TOKEN.")
        return answer


def _object(answer: httpx.Response) -> dict[str, Any]:
    try:
        found = answer.json()
    except json.JSONDecodeError:
        found = None
    if not answer.is_success or not isinstance(found, dict):
        raise Unreachable(f"Waits for Ray, which answered with {answer.status_code}.")
    return found


def _last_line(text: str) -> str:
    """The last line that says something: Ray puts a traceback or the end of a log before it."""
    lines = [line.strip() for line in text.splitlines() if line.strip(" .")]
    return lines[-1][:300] if lines else ""
