"""A request with several faults: all of them are named at once, in plain words."""

from typing import Any

from fastapi.testclient import TestClient

JOBS = "/v1/fine_tuning/jobs"


def refused(client: TestClient, body: dict[str, Any]) -> dict[str, Any]:
    answer = client.post(JOBS, json=body)
    assert answer.status_code == 400, answer.text
    return answer.json()["error"]


def test_a_job_is_refused_with_all_that_is_wrong(client: TestClient):
    settings = {"lambda": -1, "learning_rate": 0, "n_epochs": "many", "batch_size": 1.5, "no": 1}
    error = refused(
        client,
        {
            "model": "nobody/none",
            "training_file": "file-1",
            "validation_file": "file-2",
            "method": {"type": "orpo", "orpo": {"hyperparameters": settings}},
            "suffix": "two words",
            "seed": -1,
        },
    )
    found = {each["param"]: each["message"] for each in error["errors"]}
    path = "method.orpo.hyperparameters."
    assert found.keys() == {
        *(path + name for name in settings),
        "model", "training_file", "validation_file", "suffix", "seed",
    }  # fmt: skip
    assert found[f"{path}lambda"] == "lambda must be 0 or more."
    assert found[f"{path}learning_rate"] == "learning_rate must be greater than 0."
    assert found[f"{path}n_epochs"] == "n_epochs must be a number."
    assert found[f"{path}batch_size"] == "batch_size must be a whole number."
    assert "nobody/none" in found["model"]
    first = error["errors"][0]
    assert {name: error[name] for name in ("message", "param", "code")} == first


def test_a_body_of_wrong_types_is_refused_with_all_of_them(client: TestClient):
    error = refused(
        client, {"model": "", "training_file": 3, "priority": 11, "metadata": [], "colour": "red"}
    )
    found = {each["param"]: each["message"] for each in error["errors"]}
    assert found == {
        "model": "`model` must not be empty.",
        "training_file": "`training_file` must be text.",
        "priority": "`priority` must be 10 or less.",
        "metadata": "`metadata` must be an object.",
        "colour": "`colour` is not known. Remove it or correct its name.",
    }


def test_one_fault_has_no_list(client: TestClient):
    error = refused(client, {"model": "acme/tiny", "training_file": "file-1", "priority": 11})
    assert error.keys() == {"message", "type", "param", "code"}


def test_a_list_of_many_faults_is_cut(client: TestClient):
    error = refused(
        client,
        {
            "model": "acme/tiny",
            "training_file": "file-1",
            "gates": [{"suite": 1}] * 8,
            "metadata": {str(name): 1 for name in range(100)},
        },
    )
    assert len(error["errors"]) == 50
