"""Checks of a job and of an evaluation before their files are uploaded: nothing is created."""

from typing import Any

import pytest
from fastapi.testclient import TestClient
from sqlalchemy import func, select

from models import Job
from services.platform.database import transaction
from tests import records
from tests.api.sent_files import error_of
from tests.api.stored_evaluations import CALLER

JOBS, EVALUATIONS = "/v1/fine_tuning/jobs/check", "/v1/evaluations/check"


@pytest.fixture
def model(product: None) -> str:
    with transaction() as session:
        return records.base_model(session, CALLER).id


def n_jobs() -> int:
    with transaction() as session:
        return session.scalar(select(func.count()).select_from(Job)) or 0


def test_a_job_is_checked_without_its_file(client: TestClient, model: str) -> None:
    method = {"type": "orpo", "orpo": {"hyperparameters": {"lambda": 0.25}}}
    found = client.post(JOBS, json={"model": model, "method": method}).raise_for_status().json()
    assert (found["object"], found["model"]) == ("fine_tuning.job.check", model)
    settings = found["method"]["orpo"]["hyperparameters"]
    assert (found["method"]["type"], settings["lambda"]) == ("orpo", 0.25)
    assert settings["n_epochs"] == 1  # those left to their defaults, too
    assert n_jobs() == 0


GATE = {"suite": "ifeval", "data": "file-none", "metric": "prompt_strict", "at_least": 0.5}


@pytest.mark.parametrize(
    ("wrong", "param"),
    [
        ({"model": "gpt-7"}, "model"),
        ({"method": {"type": "grpo"}}, "method.type"),
        (
            {"method": {"type": "orpo", "orpo": {"hyperparameters": {"lamda": 1}}}},
            "method.orpo.hyperparameters.lamda",
        ),
        ({"suffix": "a/b"}, "suffix"),
        ({"seed": -1}, "seed"),
        ({"gates": [GATE]}, "gates.0.data"),
        ({"training_file": "file-none"}, "training_file"),
        ({"validation_file": "file-none"}, "validation_file"),
    ],
)
def test_a_check_refuses_what_a_job_would(
    client: TestClient, model: str, wrong: dict[str, Any], param: str
) -> None:
    answer = client.post(JOBS, json={"model": model} | wrong)
    assert error_of(answer, 400)["param"] == param


def test_an_evaluation_is_checked_without_its_file(client: TestClient, model: str) -> None:
    body = {"model": model, "suite": "ifeval", "sampling": {"top_p": 0.5}}
    found = client.post(EVALUATIONS, json=body).raise_for_status().json()
    assert (found["object"], found["suite"]) == ("evaluation.check", "ifeval")
    assert found["sampling"]["top_p"] == 0.5
    assert "max_tokens" in found["sampling"]
    assert n_jobs() == 0


@pytest.mark.parametrize(
    ("wrong", "status", "param"),
    [
        ({"model": "gpt-7"}, 404, "model"),
        ({"suite": "mmlu"}, 400, "suite"),
        ({"judge": "judge-none"}, 400, "judge"),
        ({"suite": "custom", "judge": "judge-none", "baseline": "b"}, 404, "judge"),
        ({"baseline": "gpt-7"}, 404, "baseline"),
        ({"sampling": {"top_p": 2}}, 400, "sampling.top_p"),
        ({"data": "file-none"}, 400, "data"),
    ],
)
def test_a_check_refuses_what_an_evaluation_would(
    client: TestClient, model: str, wrong: dict[str, Any], status: int, param: str
) -> None:
    answer = client.post(EVALUATIONS, json={"model": model, "suite": "ifeval"} | wrong)
    assert error_of(answer, status)["param"] == param
