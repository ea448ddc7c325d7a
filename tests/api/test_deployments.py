"""Deployments over HTTP: what can be deployed, and the errors otherwise."""

from typing import Any

import pytest
from fastapi.testclient import TestClient
from sqlalchemy import func
from sqlalchemy.orm import Session

from models import Checkpoint, Deployment, Engine, Job
from models.base import new_id
from models.deployments import DeploymentStatus
from models.jobs import JobState
from orpo.contract.methods import parse_method
from services.access.callers import Caller
from services.files import seed
from services.platform.database import transaction
from services.serving import deployments
from tests import records

CALLER = Caller(seed.ORG_ID, None, records.SCOPES)


@pytest.fixture
def base(product: None) -> str:
    with transaction() as session:
        return records.base_model(session, CALLER, id="acme/base").id


def post(client: TestClient, model: Any) -> Any:
    return client.post("/v1/deployments", json={"model": model})


def test_a_deployment_is_shown_as_it_is_asked_for(client, base):
    made = post(client, base)
    assert made.status_code == 200
    deployment = made.json()
    assert deployment["object"] == "deployment"
    assert deployment["model"] == deployment["base_model"] == base
    assert deployment["status"] == "pending"
    assert deployment["created_at"] > 1_700_000_000
    for empty in ("error", "parity", "engine", "ready_at"):
        assert deployment[empty] is None
    assert client.get(f"/v1/deployments/{deployment['id']}").json() == deployment
    listed = client.get("/v1/deployments").json()
    assert listed["data"] == [deployment]
    assert listed["has_more"] is False


def test_a_model_is_deployed_once(client, base):
    assert post(client, base).json()["id"] == post(client, base).json()["id"]


def test_one_that_failed_is_tried_anew(client, base):
    first = post(client, base).json()["id"]
    with transaction() as session:
        record = session.get_one(Deployment, first)
        record.status = DeploymentStatus.FAILED
        record.error = {"message": "No space.", "code": "engine_crashed", "param": None}
    assert client.get(f"/v1/deployments/{first}").json()["error"]["message"] == "No space."
    second = post(client, base).json()
    assert second["id"] != first
    assert second["status"] == "pending"
    assert [d["id"] for d in client.get("/v1/deployments").json()["data"]] == [second["id"]]


def test_taking_it_back(client, base):
    deployment_id = post(client, base).json()["id"]
    assert client.delete(f"/v1/deployments/{deployment_id}").json()["status"] == "stopped"
    assert client.get("/v1/deployments").json()["data"] == []
    assert post(client, base).json()["id"] != deployment_id


def test_a_ready_one_shows_its_engine_and_certificate(client, base):
    deployment_id = post(client, base).json()["id"]
    with transaction() as session:
        engine = an_engine(session)
        record = session.get_one(Deployment, deployment_id)
        record.engine_id, record.status = engine.id, DeploymentStatus.READY
        record.ready_at = func.clock_timestamp()
        record.parity = {
            "token_ids_equal": True, "max_logprob_diff": 0.1, "mean_logprob_diff": 0.01,
            "weights_sha256": "ab", "equal_to_base": False, "tolerance": 0.35,
        }  # fmt: skip
    shown = client.get(f"/v1/deployments/{deployment_id}").json()
    assert shown["engine"] == {"device": "cpu", "adapter": None}
    assert shown["parity"]["weights_sha256"] == "ab"
    assert shown["ready_at"] >= shown["created_at"]
    # After a DELETE, chat ends at once; the deployment stops when the worker has unloaded it.
    assert client.delete(f"/v1/deployments/{deployment_id}").json()["status"] == "ready"
    body = {"model": base, "messages": [{"role": "user", "content": "?"}]}
    assert client.post("/v1/chat/completions", json=body).status_code == 404


def a_job(session: Session, state: JobState, **fields: Any) -> Job:
    job = records.job(session, CALLER, **fields)
    route = {
        JobState.QUEUED: [JobState.QUEUED],
        JobState.FAILED: [JobState.FAILED],
        JobState.SUCCEEDED: ["queued", "claimed", "running", "finalizing", "succeeded"],
    }
    for following in route[state]:
        if following == "claimed":
            job.generation += 1
        job.state = following
        session.flush()
    return job


def a_checkpoint(session: Session, job: Job, **fields: Any) -> Checkpoint:
    values = {
        "id": new_id("ftckpt"), "job_id": job.id, "generation": 1, "step": 2, "kind": "adapter",
        "path": f"{job.id}/g1/checkpoints/step-000002", "sha256": "ab", "size_bytes": 1,
        "metrics": {}, "model": f"ft:base:default::{job.id[6:18]}:ckpt-step-2",
    }  # fmt: skip
    checkpoint = Checkpoint(**(values | fields))
    session.add(checkpoint)
    session.flush()
    return checkpoint


def an_engine(session: Session, **fields: Any) -> Engine:
    values = {
        "id": new_id("engine"), "weights": "/nowhere", "served_name": "base", "status": "ready",
        "worker": "w", "host": "127.0.0.1", "port": 9, "device": "cpu",
    }  # fmt: skip
    engine = Engine(**(values | fields))
    session.add(engine)
    session.flush()
    return engine


@pytest.mark.parametrize("model", ["nobody/knows", "ft:base:default::123456789012", "ftjob-"])
def test_an_unknown_model(client, model):
    refused = post(client, model)
    assert refused.status_code == 404
    assert refused.json()["error"]["param"] == "model"


@pytest.mark.parametrize("fields", [{}, {"model": ""}, {"model": 3}, {"model": "m", "x": 1}])
def test_a_request_that_makes_no_sense(client, fields):
    refused = client.post("/v1/deployments", json=fields)
    assert refused.status_code == 400
    assert refused.json()["error"]["param"] in ("model", "x")


def test_a_job_that_is_not_finished(client, product):
    with transaction() as session:
        job = a_job(session, JobState.QUEUED)
        checkpoint = a_checkpoint(session, job)
        named = f"ft:{job.base_model}:default::{job.id.removeprefix('ftjob-')[:12]}"
    for model in (job.id, named, checkpoint.model):
        refused = post(client, model)
        assert refused.status_code == 409, refused.text
        assert refused.headers["x-should-retry"] == "false"
        assert refused.json()["error"]["param"] == "model"
        assert "is not finished" in refused.json()["error"]["message"]


def test_the_result_of_a_job(client, product):
    with transaction() as session:
        job = a_job(session, JobState.SUCCEEDED, fine_tuned_model="ft:base:default::abc")
        checkpoint = a_checkpoint(session, job)
    for model in ("ft:base:default::abc", checkpoint.model):
        deployment = post(client, model).json()
        assert deployment["model"] == model
        assert deployment["base_model"] == job.base_model
    hint = post(client, job.id)
    assert hint.status_code == 404
    assert "ft:base:default::abc" in hint.json()["error"]["message"]


def test_a_reward_model_is_a_judge_and_can_not_chat(client, product):
    method = parse_method("reward", {}).model_dump(mode="json")
    with transaction() as session:
        job = a_job(
            session, JobState.SUCCEEDED, fine_tuned_model="ft:base:default::judge", method=method
        )
        checkpoint = a_checkpoint(session, job)
    for model in ("ft:base:default::judge", checkpoint.model):
        refused = post(client, model)
        assert refused.status_code == 400
        error = refused.json()["error"]
        assert (error["code"], error["param"]) == ("model_is_a_judge", "model")
        assert "judges answers" in error["message"]
        body = {"model": model, "messages": [{"role": "user", "content": "?"}]}
        chat = client.post("/v1/chat/completions", json=body)
        assert (chat.status_code, chat.json()["error"]["code"]) == (400, "model_is_a_judge")
        assert client.get(f"/v1/models/{model}").json()["use"] == "judge"
    uses = {model["id"]: model["use"] for model in client.get("/v1/models").json()["data"]}
    assert uses == {"ft:base:default::judge": "judge", job.base_model: "chat"}


def test_what_a_failed_job_left_can_be_served_unless_it_is_damaged(client, product):
    with transaction() as session:
        checkpoint = a_checkpoint(session, a_job(session, JobState.FAILED))
    assert post(client, checkpoint.model).status_code == 200
    with transaction() as session:
        damaged = a_checkpoint(
            session, a_job(session, JobState.FAILED), damaged_at=func.clock_timestamp()
        )
    assert post(client, damaged.model).status_code == 409


def test_another_organisation_sees_nothing(client, base):
    deployment_id = post(client, base).json()["id"]
    with transaction() as session:
        stranger = records.caller(session, "stranger")
        assert list(deployments.list_page(session, stranger)) == []
        with pytest.raises(deployments.NotFound):
            deployments.get(session, stranger, deployment_id)
        with pytest.raises(deployments.NotFound):
            deployments.create(session, stranger, base)
        with pytest.raises(deployments.NotFound):
            deployments.route(session, stranger, base)


@pytest.mark.parametrize(
    ("desired", "status", "expected"),
    [
        ("run", "pending", True),
        ("run", "starting", True),
        ("run", "ready", False),
        ("run", "failed", False),
        ("stop", "pending", True),
        ("stop", "ready", True),
        ("stop", "stopped", False),
        ("stop", "failed", False),
    ],
)
def test_the_worker_is_woken_while_something_differs(product, base, desired, status, expected):
    with transaction() as session:
        session.add(
            Deployment(
                id="d", org_id=seed.ORG_ID, model=base, base_model=base, desired=desired,
                status=status,
            )
        )  # fmt: skip
        session.flush()
        assert deployments.needs_reconcile(session) is expected


def test_the_worker_is_woken_to_look_at_an_engine(product):
    with transaction() as session:
        engine = an_engine(session, seen_at=func.clock_timestamp())
        session.flush()
        assert not deployments.needs_reconcile(session)
        engine.seen_at = func.clock_timestamp() - deployments.LOOK_AFTER
        session.flush()
        assert deployments.needs_reconcile(session)
        engine.status = "stopped"
        session.flush()
        assert not deployments.needs_reconcile(session)
