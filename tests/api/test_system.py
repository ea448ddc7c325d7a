"""What `/v1/system` and `/v1/doctor` show, and to whom."""

import os
import socket
import subprocess
from collections.abc import Iterator
from typing import Any

import psutil
import pytest
from fastapi.testclient import TestClient

from models import Deployment, Engine
from models.base import new_id
from models.deployments import DeploymentStatus
from models.jobs import JobState
from services.access import api_keys
from services.access.callers import Caller
from services.files import seed
from services.jobs import claims, workers
from services.platform.database import transaction
from tests import records

OURS = Caller(seed.ORG_ID, None, records.SCOPES)


def as_(key: str) -> dict[str, str]:
    return {"Authorization": f"Bearer {key}"}


@pytest.fixture
def jobs(product: None) -> list[str]:
    """Three jobs: one is claimed by the only train worker, two wait."""
    with transaction() as session:
        workers.register(session, "node-a:1", host="node-a", cores=4, devices=[])
        first = records.job(session, OURS, JobState.QUEUED)
        claims.claim_next(session, "node-a:1")
        later = [records.job(session, OURS, JobState.QUEUED, suffix=name) for name in ("b", "c")]
        return [job.id for job in (first, *later)]


def engine_of(session, base: str, **fields: Any) -> None:
    """An engine with one deployment of the organisation that runs the installation."""
    values = {"worker": "node-a:7", "status": "ready", "pid": None, "pid_started": None}
    engine = Engine(
        id=new_id("engine"), weights=base, served_name=base, host="/tmp/e", port=0, device="cpu",
        **(values | fields),
    )  # fmt: skip
    session.add(engine)
    session.flush()
    session.add(
        Deployment(
            id=new_id("deploy"), org_id=seed.ORG_ID, model=base, base_model=base,
            status=DeploymentStatus.READY, engine_id=engine.id,
        )
    )  # fmt: skip


def test_jobs_that_wait_are_listed_with_place_and_reason(client: TestClient, jobs: list[str]):
    found = client.get("/v1/system").json()
    assert [one["id"] for one in found["waiting"]] == jobs[1:]
    assert found["waiting_count"] == 2
    second, third = found["waiting"]
    assert (second["name"], second["queue"]["position"]) == ("b", 1)
    assert second["waits_for"]["code"] == "free_worker"
    assert third["queue"]["position"] == 2
    assert third["waits_for"]["message"] == "Waits for 1 job before it."
    assert any("queue `prepare`" in sentence for sentence in found["degraded"])


def test_renamed_jobs_have_their_new_name(client: TestClient, jobs: list[str]):
    for job_id, name in zip(jobs, ("held", "waiting"), strict=False):
        client.post(f"/v1/fine_tuning/jobs/{job_id}", json={"name": name}).raise_for_status()
    waiting = client.get("/v1/system").json()["waiting"]
    assert [one["name"] for one in waiting] == ["waiting", "c"]
    (worker,) = client.get("/v1/workers").json()["data"]
    assert worker["job_name"] == "held"


def test_a_job_and_the_list_of_jobs_say_the_same(client: TestClient, jobs: list[str]):
    listed = {
        job["id"]: job["waits_for"] for job in client.get("/v1/fine_tuning/jobs").json()["data"]
    }
    assert listed[jobs[0]] is None
    assert listed[jobs[2]]["code"] == "jobs_before"
    for job_id, waits_for in listed.items():
        job = client.get(f"/v1/fine_tuning/jobs/{job_id}").json()
        assert job["waits_for"] == waits_for


def test_another_organisation_sees_no_job_and_no_engine_of_ours(
    client: TestClient, jobs: list[str], stranger: str
):
    with transaction() as session:
        engine_of(session, records.base_model(session, OURS).id)
        theirs = records.caller(session, "third")
        mine = records.job(session, theirs, JobState.QUEUED).id
        key = api_keys.create(session, theirs, "third", ["admin"])[1]
    answer = client.get("/v1/system", headers=as_(stranger))
    assert answer.json()["waiting"] == answer.json()["engines"] == []
    assert "node-a" not in answer.text
    # Its own job waits in the same queue as ours, which only its place shows.
    found = client.get("/v1/system", headers=as_(key)).json()
    (own,) = found["waiting"]
    assert own["id"] == mine
    assert own["queue"]["position"] == 1  # its key has no running job
    assert not any(job_id in str(found) for job_id in jobs)


@pytest.fixture
def process() -> Iterator[psutil.Process]:
    """A process that leads a session, as an engine does."""
    with subprocess.Popen(["sleep", "600"], start_new_session=True) as started:
        yield psutil.Process(started.pid)
        started.kill()


def test_an_engine_is_shown_with_its_models_and_its_memory(
    client: TestClient, jobs: list[str], process: psutil.Process
):
    ticks = round((process.create_time() - psutil.boot_time()) * os.sysconf("SC_CLK_TCK"))
    here = {"worker": f"{socket.gethostname()}:1", "pid": process.pid}
    with transaction() as session:
        for name, more in {
            "seen": {**here, "pid_started": ticks},
            "reused": {**here, "pid_started": ticks - 10**6},
            "elsewhere": {"worker": "node-b:1", "pid": process.pid, "pid_started": ticks},
        }.items():
            engine_of(session, records.base_model(session, OURS, id=name).id, **more)
        engine_of(session, records.base_model(session, OURS, id="gone").id, status="stopped")
    engines = {one["served_name"]: one for one in client.get("/v1/system").json()["engines"]}
    assert set(engines) == {"seen", "reused", "elsewhere"}
    assert [one["model"] for one in engines["seen"]["models"]] == ["seen"]
    assert engines["elsewhere"]["host"] == "node-b"
    assert engines["seen"]["memory_bytes"] > 0
    assert engines["reused"]["memory_bytes"] is engines["elsewhere"]["memory_bytes"] is None


def test_workers_of_every_queue_are_listed(client: TestClient, jobs: list[str]):
    with transaction() as session:
        workers.register(
            session, "node-a:2", host="node-a", cores=4, devices=[], queues=["files", "prepare"],
            memory_bytes=8 * 2**30,
        )  # fmt: skip
    found = client.get("/v1/workers").json()["data"]
    assert [one["queues"] for one in found] == [["train"], ["files", "prepare"]]
    assert [(one["job"], one["purpose"]) for one in found] == [(jobs[0], "train"), (None, None)]
    assert found[1]["memory_bytes"] == 8 * 2**30
    assert found[1]["release"]
    # A worker of another queue takes no training.
    waits_for = client.get(f"/v1/fine_tuning/jobs/{jobs[1]}").json()["waits_for"]
    assert "1 of 1 is busy" in waits_for["message"]


def test_doctor_is_for_administrators_of_those_who_run_it(
    client: TestClient, stranger: str, settings_from
):
    settings_from(sandbox="floor")
    found = {check["name"]: check for check in client.get("/v1/doctor").json()["checks"]}
    assert {"Versions", "User", "Sandbox", "Limits", "Secrets", "Disk", "GPU"} == set(found)
    assert found["Sandbox"]["ok"] is not True
    assert found["Sandbox"]["remedy"] == "Unset ODDSMITH_SANDBOX."
    refused = client.get("/v1/doctor", headers=as_(stranger))
    assert refused.status_code == 403
    assert refused.json()["error"]["code"] == "operators_only"
    with transaction() as session:
        narrow = api_keys.create(session, OURS, "narrow", ["write"])[1]
    assert client.get("/v1/doctor", headers=as_(narrow)).status_code == 403
