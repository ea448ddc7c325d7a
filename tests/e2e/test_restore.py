"""The restore drill: a working stack is backed up, and another stack takes over from the backup."""

import json
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import httpx
import pytest

from tests.e2e.conftest import EXAMPLES, Stack
from tests.e2e.wait import wait_for

pytestmark = [pytest.mark.faults, pytest.mark.timeout(1800)]

# Long enough to be running during the backup.
LONG = {
    "max_steps": 160,
    "batch_size": 2,
    "checkpoint_every": 20,
    "eval_every": 160,
    "n_samples": 1,
    "sample_tokens": 8,
}
ENDED = ("succeeded", "failed", "cancelled")


@pytest.fixture
def other(tmp_path: Path) -> Iterator[Stack]:
    """A second, unused stack."""
    stack = Stack(tmp_path / "other")
    stack.up()
    yield stack
    stack.down()


def ended(stack: Stack, job_id: str) -> dict[str, Any]:
    def look() -> dict[str, Any] | None:
        with stack.http() as http:
            job = http.get(f"/v1/fine_tuning/jobs/{job_id}").json()
        return job if job["status"] in ENDED else None

    job = wait_for(look, 900, stack.logs)
    assert job["status"] == "succeeded", f"{job['error']}\n{stack.logs()}"
    return job


def everything(http: httpx.Client, job_ids: list[str]) -> dict[str, Any]:
    """The API's lists, and the objects that the pages of these jobs show."""
    paths = ["/v1/files?limit=100", "/v1/models"]
    for job_id in job_ids:
        job = f"/v1/fine_tuning/jobs/{job_id}"
        paths += [job, f"{job}/events?limit=100", f"{job}/checkpoints", f"{job}/series"]
        paths += [f"{job}/pairs", f"{job}/samples", f"{job}/logs"]
    found = {path: http.get(path).raise_for_status().json() for path in paths}
    for model in found["/v1/models"]["data"]:
        del model["deployed"]  # a restore stops engines, which then restart
    return found


def weights(stack: Stack, job_id: str) -> str:
    with stack.http() as http:
        return http.get(f"/v1/fine_tuning/jobs/{job_id}/checkpoints").json()["data"][0]["sha256"]


@pytest.fixture
def nothing_served(stack: Stack) -> None:
    """Undeploy the models of earlier tests: the other stack would deploy them too."""
    with stack.http() as http:

        def served() -> list[dict[str, Any]]:
            found = http.get("/v1/deployments?limit=100").json()["data"]
            return [deployment for deployment in found if deployment["status"] != "stopped"]

        for deployment in served():
            http.delete(f"/v1/deployments/{deployment['id']}").raise_for_status()
        wait_for(lambda: not served(), 60, stack.logs)


@pytest.mark.usefixtures("nothing_served")
def test_another_stack_takes_over(
    stack: Stack, tiny: str, upload, until, other, tmp_path: Path, capsys
):
    file = upload(EXAMPLES / "short-answers.jsonl")

    def create(**hyperparameters: Any) -> str:
        method: Any = {"type": "orpo", "orpo": {"hyperparameters": hyperparameters}}
        jobs = stack.openai().fine_tuning.jobs
        return jobs.create(model=tiny, training_file=file, method=method, seed=7).id

    done = create(**LONG | {"max_steps": 4, "eval_every": 4})
    ended(stack, done)
    running = create(**LONG)
    until(running, lambda job: (job["progress"] or {}).get("step", 0) >= 25, 600)

    monday = tmp_path / "monday"
    backed_up = stack.oddsmith("backup", str(monday), "--json")
    assert backed_up.returncode == 0, backed_up.stderr
    facts = json.loads(backed_up.stdout)
    assert facts["left_out"] == []
    with stack.http() as http:
        shown = everything(http, [done])
        key = http.headers["Authorization"]
    # One training at a time: with two on two cores, each takes five times as long.
    ended(stack, running)

    # A damaged backup is refused, and the other stack does not change.
    rows = monday / "tables" / "jobs.copy"
    whole = rows.read_bytes()
    rows.write_bytes(whole[:-1] + b"x")
    refused = other.oddsmith("restore", str(monday))
    assert refused.returncode == 4
    assert "is damaged" in refused.stderr
    rows.write_bytes(whole)
    with other.http() as http:
        assert http.get("/v1/fine_tuning/jobs").json()["data"] == []

    began = time.monotonic()
    restored = other.oddsmith("restore", str(monday), "--json")
    assert restored.returncode == 0, restored.stdout + restored.stderr
    report = json.loads(restored.stdout)
    assert report["resumed"] == [running], "It ended before the backup did: make LONG longer."
    with capsys.disabled():  # report the durations of the drill
        print(  # noqa: T201
            f"\nbackup {facts['seconds']} s, restore {report['seconds']} s "
            f"({time.monotonic() - began:.1f} s with the program's start), "
            f"{sum(f.stat().st_size for f in monday.rglob('*') if f.is_file()) / 1e6:.1f} MB"
        )

    # With a key of the first stack, which came with the backup.
    with other.http() as http:
        http.headers["Authorization"] = key
        assert everything(http, [done]) == shown
    job = ended(other, running)
    assert (job["generation"], job["attempts"]) == (2, 0)
    assert weights(other, running) == weights(stack, running)

    again = other.oddsmith("restore", str(monday))
    assert again.returncode == 4
    assert "not empty" in again.stderr
