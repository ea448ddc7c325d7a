"""Estimates over HTTP: stored as jobs, but with paths of their own."""

import pytest
from fastapi.testclient import TestClient

from models.jobs import JobState, Purpose
from services.access.callers import Caller
from services.files import seed
from services.jobs import claims, jobs
from services.platform.database import transaction
from tests import records

CALLER = Caller(seed.ORG_ID, None, records.SCOPES)
JOBS = "/v1/fine_tuning/jobs"
MEASURED = {
    "pairs": 8, "held_out_pairs": 1, "steps": 4, "tokens": 900, "tokens_per_s": 50.0,
    "longest": 70, "token_budget": 1024, "parameters": 10, "trainable_parameters": 1,
    "processes": 1, "device": {"name": "CPU, 2 cores", "memory_bytes": 2**34},
    "time": {"load_s": 1.0, "train_s": 2.0, "evaluate_s": 3.0, "total_s": 6.0},
    "memory": {
        "runtime_bytes": 1, "weights_bytes": 2, "gradients_bytes": 3, "optimizer_bytes": 4,
        "head_bytes": 5, "activations_bytes": 6, "peak_bytes": 21,
    },
}  # fmt: skip


@pytest.fixture
def body(product: None) -> dict[str, str]:
    with transaction() as session:
        base, file = records.base_model(session, CALLER), records.file(session, CALLER)
        return {"model": base.id, "training_file": file.id}


def test_an_estimate_is_asked_for_like_a_job_and_is_none(client: TestClient, body: dict[str, str]):
    made = client.post(f"{JOBS}/estimate", json=body).json()
    assert (made["object"], made["status"]) == ("fine_tuning.job.estimate", "validating_files")
    assert client.get(f"{JOBS}/estimate/{made['id']}").json() == made
    assert client.get(f"{JOBS}/{made['id']}").status_code == 404
    assert client.get(JOBS).json()["data"] == []
    job = client.post(JOBS, json=body).json()
    assert client.get(f"{JOBS}/estimate/{job['id']}").status_code == 404


def test_an_estimate_shows_what_was_measured(client: TestClient, body: dict[str, str]):
    with transaction() as session:
        job = records.job(session, CALLER, JobState.QUEUED, purpose=Purpose.ESTIMATE)
        claims.claim_next(session, "w")
        claims.finalize(session, job.id, 1)
        session.flush()
        claims.succeed_with_estimate(session, job.id, 1, MEASURED)
        estimate_id = job.id
    found = client.get(f"{JOBS}/estimate/{estimate_id}").json()
    assert (found["status"], found["estimate"]) == ("succeeded", MEASURED)


def test_an_estimate_is_measured_before_jobs_that_wait(product: None):
    with transaction() as session:
        waiting = records.job(session, CALLER, JobState.QUEUED)
        base, file = records.base_model(session, CALLER), records.file(session, CALLER)
        request = jobs.NewJob(base.id, file.id, purpose=Purpose.ESTIMATE)
        estimate = jobs.create(session, CALLER, request)
        estimate.state = JobState.QUEUED
        session.flush()
        claimed = [claims.claim_next(session, "w"), claims.claim_next(session, "w")]
        assert [job and job.id for job in claimed] == [estimate.id, waiting.id]


def test_a_bad_estimate_names_its_field_and_a_good_one_can_be_cancelled(
    client: TestClient, body: dict[str, str]
):
    refused = client.post(f"{JOBS}/estimate", json={**body, "model": "gpt-7"})
    assert (refused.status_code, refused.json()["error"]["param"]) == (400, "model")
    made = client.post(f"{JOBS}/estimate", json=body).json()
    cancelled = client.post(f"{JOBS}/estimate/{made['id']}/cancel").json()
    assert cancelled["status"] == "cancelled"
