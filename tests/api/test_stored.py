"""JSON from the database is returned as stored, even if another release has written it."""

from collections.abc import Iterator
from typing import Any

import pytest
from fastapi.testclient import TestClient
from sqlalchemy import update

from api.app import create_app
from api.schemas.frames import StepNumbers
from api.schemas.jobs import JobMethod
from models import Checkpoint, Comparison, Job
from models.base import new_id
from models.jobs import JobState
from orpo.contract.methods import METHODS
from services.access.callers import Caller
from services.files import seed
from services.jobs import claims
from services.platform.database import transaction
from services.runs import metrics
from tests import records

CALLER = Caller(seed.ORG_ID, None, records.SCOPES)
NEWER = {"of_a_newer_release": {"a": [1, None]}}


@pytest.mark.parametrize(
    "progress",
    [
        {"preparing": {"tokenised": 2048, "pairs": 9000}},
        {"step": 3, "steps": 10, "epoch": None, "trained_tokens": 12, "eta_s": 1.5},
        {"step": 3, "left_out": {"too_fast": 4}},
        {"retry": {"reason": "It ended.", "attempt": 2, "max_attempts": 5, "at": 1764000000}},
        {"step": 3, **NEWER},
    ],
)
def test_the_progress_of_a_job_is_shown_as_it_was_stored(
    client: TestClient, progress: dict[str, Any]
) -> None:
    with transaction() as session:
        job = records.job(session, CALLER, progress=progress)
    path = f"/v1/fine_tuning/jobs/{job.id}"
    assert client.get(path).json()["progress"] == progress
    assert client.get("/v1/fine_tuning/jobs").json()["data"][0]["progress"] == progress


@pytest.mark.parametrize(
    "prepared",
    [
        {"steps": 4},
        {
            "train": {
                "pairs": 8, "dropped": {"too_long": 1}, "special_token": None,
                "reasons": {"too_long": {"line": 3, "message": "It is too long."}},
                "template": "default", "tokens": 9, "tokens_unshared": 12, "truncated": 0,
                "border_merges": 0, "length": {"p50": 1, "p95": 2, "max": 3},
            },
            "held_out": {"pairs": 0, "dropped": {}},
            "steps": 4, "steps_per_epoch": 4, "max_length": 512, "token_budget": 64, **NEWER,
        },
    ],
)  # fmt: skip
def test_what_was_prepared_is_shown_as_it_was_stored(
    client: TestClient, prepared: dict[str, Any]
) -> None:
    with transaction() as session:
        job = records.job(session, CALLER, prepared=prepared)
        estimate = records.job(session, CALLER, prepared=prepared, purpose="estimate")
    jobs = "/v1/fine_tuning/jobs"
    for path in (f"{jobs}/{job.id}", f"{jobs}/estimate/{estimate.id}"):
        assert client.get(path).json()["prepared"] == prepared


def test_a_job_of_another_release_has_its_own_settings(client: TestClient) -> None:
    with transaction() as session:
        job = records.job(session, CALLER, method={"type": "kto", "beta": 1, "names": ["a"]})
    found = client.get(f"/v1/fine_tuning/jobs/{job.id}").json()
    settings = {"beta": 1, "names": ["a"]}
    assert found["hyperparameters"] == settings
    assert found["method"] == {"type": "kto", "kto": {"hyperparameters": settings}}


def test_every_method_has_its_place_in_the_job() -> None:
    assert set(JobMethod.__annotations__) == {"type", *METHODS}


@pytest.mark.parametrize(
    "numbers",
    [
        {"step": 2, "train_loss": 1.0, "full_valid_loss": None, "margin/p50": 0.5, "accuracy": 1},
        {**NEWER},
    ],
)
def test_the_numbers_of_a_checkpoint_are_shown_as_they_were_stored(
    client: TestClient, numbers: dict[str, Any]
) -> None:
    with transaction() as session:
        job = records.job(session, CALLER)
        checkpoint = Checkpoint(
            id=new_id("ftckpt"), job_id=job.id, generation=1, step=2, path="x", kind="adapter",
            sha256="0", size_bytes=1, metrics=numbers, model="ft:x:ckpt-step-2",
        )  # fmt: skip
        session.add(checkpoint)
    path = f"/v1/fine_tuning/jobs/{job.id}/checkpoints"
    assert client.get(path).json()["data"][0]["metrics"] == numbers


def test_what_is_known_of_a_base_is_shown_as_it_was_stored(client: TestClient) -> None:
    known = {"parameters": 7, "context_length": None, "dtype": "bf16", **NEWER}
    with transaction() as session:
        base = records.base_model(session, CALLER, info={**known, "files": {"a": {}}})
    assert client.get(f"/v1/models/{base.id}").json()["info"] == known


def test_a_comparison_is_shown_as_it_was_stored(client: TestClient) -> None:
    side = {
        "side": 0, "model": "m", "base_model": "m", "deployment_id": "d", "adapter": False,
        "checkpoint_step": None, "weights_sha256": None, "device": "cpu",
    }  # fmt: skip
    asked = {"messages": [{"role": "user", "content": "Why?"}], "temperature": 0.5, **NEWER}
    usage = {"completion_tokens": 3, **NEWER}
    sides = [{**side, "asked": {}}, {**side, "side": 1, "asked": asked, "usage": usage}]
    with transaction() as session:
        comparison = Comparison(id=new_id("cmp"), org_id=seed.ORG_ID, sides=sides)
        session.add(comparison)
    found = client.get(f"/v1/comparisons/{comparison.id}").json()["sides"]
    assert [each["asked"] for each in found] == [{}, asked]
    assert [each["usage"] for each in found] == [None, usage]


def test_the_stream_of_a_job_has_the_documented_frames(client: TestClient) -> None:
    with transaction() as session:
        job = records.job(session, CALLER, JobState.QUEUED)
        claims.claim_next(session, "w")
        claims.start(session, job.id, 1)
        line = {"step": 1, "t": 0.0, "split": "train", "values": {"loss": None, "lr": 0.1}}
        metrics.write(session, job.id, 1, [line])
        claims.fail(session, job.id, 1, {"code": "x", "message": "Broken.", "param": None})
        session.execute(update(Job).values(progress={"step": 1, **NEWER}))
    sent = client.get(f"/v1/fine_tuning/jobs/{job.id}/stream").text
    (numbers,) = [part for part in sent.split("\n\n") if "event: metrics" in part]
    frame = StepNumbers.model_validate_json(numbers.partition("data: ")[2])
    assert frame.model_dump() == {"step": 1, "split": "train", "values": {"loss": None, "lr": 0.1}}
    assert '"progress":{"step":1,"of_a_newer_release":{"a":[1,null]}}' in sent


# Fields that differ by kind, action or suite, and hyperparameters, which have their own schemas.
OPEN = {
    "AuditEntryObject.details",
    "CheckJob.hyperparameters",
    "CreateJob.hyperparameters",
    "EvaluationItemObject.reference",
    "EvaluationItemObject.result",
    "JobEventObject.data",
    "MethodObject.hyperparameters",
}


def test_every_object_of_the_document_has_named_fields() -> None:
    schemas = create_app().openapi()["components"]["schemas"]
    found = {
        f"{name}.{field}"
        for name, schema in schemas.items()
        for field, shape in schema.get("properties", {}).items()
        for part in parts(shape)
        if part.get("additionalProperties") is True and "properties" not in part
    }
    assert found == OPEN


def parts(shape: Any) -> Iterator[dict[str, Any]]:
    """A schema and all schemas inside it."""
    if isinstance(shape, dict):
        yield shape
    for inner in shape.values() if isinstance(shape, dict) else shape:
        if isinstance(inner, dict | list):
            yield from parts(inner)
