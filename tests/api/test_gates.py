"""Gates of a job over HTTP: refused by field, shown with the job and with its model."""

from typing import Any

import pytest
from fastapi.testclient import TestClient

from models.jobs import JobState
from services.access.callers import Caller
from services.evaluations.gates import MOST
from services.files import seed
from services.platform.database import transaction
from tests import records
from tests.services import gated
from tests.services.gated import PASSES, score

CALLER = Caller(seed.ORG_ID, None, records.SCOPES)
JOBS = "/v1/fine_tuning/jobs"


@pytest.fixture
def body(client: TestClient) -> dict[str, Any]:
    """A request for a job, with one gate that is accepted."""
    with transaction() as session:
        base, file = records.base_model(session, CALLER).id, records.file(session, CALLER).id
        prompts = gated.prompts(session, CALLER).id
    gate = {
        "suite": "ifeval",
        "data": prompts,
        "metric": "prompt_strict",
        "at_least": "base - 0.02",
    }
    return {"model": base, "training_file": file, "gates": [gate]}


def test_a_job_shows_its_gates(client: TestClient, body: dict[str, Any]) -> None:
    job = client.post(JOBS, json=body).raise_for_status().json()
    rest = {"judge": None, "limit": None, "seed": None, "deploy": True, "evaluation": None}
    assert job["gates"] == [body["gates"][0] | rest]
    assert job["promotion"] is None
    assert client.get(f"{JOBS}/{job['id']}").json()["gates"] == job["gates"]


@pytest.mark.parametrize(
    ("field", "value", "message"),
    [
        ("suite", "bluff", "There is no suite 'bluff': use one of ifeval"),
        ("suite", "diversity", "a lower value of the suite 'diversity' is more diverse"),
        ("metric", "win_rate", "has no metric 'win_rate': use one of prompt_strict"),
        ("at_least", "base * 2", "such as `base - 0.02`"),
        ("at_least", True, "send a number"),
        ("at_least", 10**400, "send a number"),
        ("at_least", "base\x00", "such as `base - 0.02`"),
        ("data", "file-no", "There is no file 'file-no'"),
        ("judge", "judge-no", "takes no judge"),
        ("limit", 0, "must be 1 or more"),
        ("limit", 20_001, "must be 20000 or less"),
        ("seed", -1, "must be 0 or more"),
        ("deploy", "yes", "true or false"),
        ("bribe", 1, "`gates.1.bribe` is not known"),
    ],
)
def test_a_gate_that_can_not_be_evaluated_is_refused_by_field(
    client: TestClient, body: dict[str, Any], field: str, value: Any, message: str
) -> None:
    body["gates"].append(body["gates"][0] | {field: value})
    answer = client.post(JOBS, json=body)
    error = answer.json()["error"]
    assert answer.status_code == 400, error
    assert error["param"] == f"gates.1.{field}"
    assert message in error["message"]
    assert client.get(JOBS).json()["data"] == []


def test_a_gate_of_judged_answers(client: TestClient, body: dict[str, Any]) -> None:
    custom = {"suite": "custom", "metric": "win_rate"}
    for more, field, message in [
        ({"at_least": 0.5}, "judge", "needs a judge"),
        ({"at_least": 0.5, "judge": "judge-no"}, "judge", "No judge has the id"),
        ({"at_least": "base", "judge": "judge-no"}, "at_least", "Give a number, such as 0.5"),
    ]:
        gate = body["gates"][0] | custom | more
        error = client.post(JOBS, json=body | {"gates": [gate]}).json()["error"]
        assert error["param"] == f"gates.0.{field}"
        assert message in error["message"]


def test_the_file_of_another_organisation_is_not_found(
    client: TestClient, body: dict[str, Any]
) -> None:
    with transaction() as session:
        theirs = gated.prompts(session, records.caller(session, "stranger")).id
    body["gates"][0]["data"] = theirs
    error = client.post(JOBS, json=body).json()["error"]
    assert (error["param"], error["code"]) == ("gates.0.data", "file_not_found")


def test_a_file_that_does_not_fit_the_suite_is_refused(
    client: TestClient, body: dict[str, Any]
) -> None:
    body["gates"][0]["data"] = body["training_file"]
    error = client.post(JOBS, json=body).json()["error"]
    assert error["param"] == "gates.0.data"
    assert "holds preference pairs" in error["message"]


def test_a_job_has_few_gates(client: TestClient, body: dict[str, Any]) -> None:
    gates = body["gates"] * MOST
    assert len(client.post(JOBS, json=body | {"gates": gates}).json()["gates"]) == MOST
    answer = client.post(JOBS, json=body | {"gates": [*gates, gates[0]]})
    assert (answer.status_code, answer.json()["error"]["param"]) == (400, "gates")


def test_an_earlier_job_is_returned_although_its_gates_could_not_be_used_again(
    client: TestClient, body: dict[str, Any]
) -> None:
    with transaction() as session:
        prompts = gated.prompts(session, CALLER).id
    body["gates"][0]["data"] = prompts
    headers = {"Idempotency-Key": "k"}
    first = client.post(JOBS, json=body, headers=headers).json()
    client.post(f"{JOBS}/{first['id']}/cancel").raise_for_status()
    client.delete(f"/v1/files/{prompts}").raise_for_status()
    assert client.post(JOBS, json=body, headers=headers).json()["id"] == first["id"]
    assert client.post(JOBS, json=body).json()["error"]["param"] == "gates.0.data"


def test_an_estimate_reads_no_gates(client: TestClient, body: dict[str, Any]) -> None:
    body["gates"][0]["suite"] = "bluff"
    assert client.post(f"{JOBS}/estimate", json=body).status_code == 200


@pytest.mark.parametrize("passes", [True, False])
def test_a_model_says_whether_it_is_promoted(client: TestClient, passes: bool) -> None:
    with transaction() as session:
        prompts = gated.prompts(session, CALLER).id
        job = gated.job(session, CALLER, gated.gate(prompts, at_least=0.5 if passes else 0.9))
        (evaluation,) = gated.succeed(session, job)
        name, base = job.fine_tuned_model, job.base_model

    def promoted() -> dict[str, Any]:
        return {each["id"]: each["promoted"] for each in client.get("/v1/models").json()["data"]}

    assert promoted() == {name: None, base: None}
    (waiting,) = client.get(f"{JOBS}/{job.id}").json()["gates"]
    assert waiting["evaluation"] == evaluation.id
    with transaction() as session:
        gated.measure(session, session.merge(evaluation), score(model=PASSES))
    assert promoted() == {name: passes, base: None}
    assert client.get(f"/v1/models/{name}").json()["promoted"] is passes
    shown = client.get(f"{JOBS}/{job.id}").json()
    assert shown["status"] == JobState.SUCCEEDED
    assert shown["promotion"]["promoted"] is passes
    assert shown["promotion"]["gates"][0]["passed"] is passes
    events = client.get(f"{JOBS}/{job.id}/events").json()["data"]
    assert events[0]["message"].startswith("Promoted: " if passes else "Not promoted: ")
    assert events[0]["data"] == {"kind": "promotion", "promoted": passes}
