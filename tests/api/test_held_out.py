"""The suite `held_out` over HTTP: pairs that models are measured on."""

from typing import Any

import pytest
from fastapi.testclient import TestClient

from services.platform.database import transaction
from tests import records
from tests.api.sent_files import error_of
from tests.api.stored_evaluations import CALLER, PATH, estimate, score, stored

READING = {
    "max_length": 2048, "overlong": "drop", "special_tokens": "refuse", "turns": "last",
    "reasoning": "auto", "precision": "bf16",
}  # fmt: skip


@pytest.fixture
def body(product: None) -> dict[str, Any]:
    """A request that is accepted."""
    with transaction() as session:
        model, baseline = (records.base_model(session, CALLER).id for _ in range(2))
        data = records.file(session, CALLER).id
    return {"model": model, "baseline": baseline, "suite": "held_out", "data": data}


def test_a_file_of_pairs_is_accepted_and_says_how_it_is_read(
    client: TestClient, body: dict[str, Any]
) -> None:
    made = client.post(PATH, json=body).raise_for_status().json()
    assert made["suite"]["title"] == "Held-out pairs"
    assert (made["reading"], made["excluded"], made["sampling"]) == (READING, [], {})
    assert (made["baseline"]["model"], made["judge"]) == (body["baseline"], None)


def test_the_suite_is_listed_with_its_metrics(client: TestClient, product: None) -> None:
    (suite,) = [
        each for each in client.get("/v1/suites").json()["data"] if each["id"] == "held_out"
    ]
    assert suite["judging"] == "likelihoods"
    assert (suite["judge"], suite["baseline"]) == ("no", "optional")
    assert suite["metrics"][:3] == ["accuracy", "log_odds_ratio", "margin"]


def test_what_makes_no_sense_is_refused_by_field(client: TestClient, body: dict[str, Any]) -> None:
    with transaction() as session:
        prompts = {"suites": ["custom"], "unfit": {}, "repeated": 0, "categories": {}}
        report = {"rows": 8, "accepted": 8, "dropped": {}, "shapes": {}, "prompts": prompts}
        of_prompts = records.file(session, CALLER, purpose="evals", report=report).id
        talks = {"rows": 8, "accepted": 8, "dropped": {}, "shapes": {"messages": 8}}
        of_talks = records.file(session, CALLER, report=talks).id
        judge = records.judge(session, CALLER).id
    endpoint = {"base_url": "https://a.example.com/v1", "model": "gpt"}
    bad = [
        ({"baseline": endpoint}, "baseline"),
        ({"data": of_prompts}, "data"),
        ({"data": of_talks}, "data"),
        ({"judge": judge}, "judge"),
        ({"sampling": {"top_p": 0.5}}, "sampling.top_p"),
        ({"baseline": body["model"]}, "baseline"),
    ]
    for changes, param in bad:
        assert error_of(client.post(PATH, json=body | changes), 400)["param"] == param, changes


def test_a_gate_is_relative_to_the_base(client: TestClient, body: dict[str, Any]) -> None:
    gate = {"suite": "held_out", "data": body["data"], "metric": "accuracy"}
    job = {"model": body["model"], "training_file": body["data"]}
    made = client.post(
        "/v1/fine_tuning/jobs", json=job | {"gates": [gate | {"at_least": "base - 0.02"}]}
    )
    assert made.raise_for_status().json()["gates"][0]["metric"] == "accuracy"
    wrong = job | {"gates": [gate | {"metric": "win_rate", "at_least": 0.5}]}
    answer = client.post("/v1/fine_tuning/jobs", json=wrong)
    assert error_of(answer, 400)["param"] == "gates.0.metric"


def test_pairs_that_were_left_out_are_shown(client: TestClient, product: None) -> None:
    left_out = {"reason": "prompt_too_long", "pairs": 2, "line": 7, "message": "No room."}
    with transaction() as session:
        found = stored(
            session, suite="held_out", options={"reading": READING}, counts={"prompts": 40},
            scores=[score("accuracy", 0.6)], details={"excluded": [left_out]},
        )  # fmt: skip
    shown = client.get(f"{PATH}/{found}").json()
    assert (shown["excluded"], shown["reading"]) == ([left_out], READING)


def test_evaluations_with_other_settings_are_not_compared(
    client: TestClient, product: None
) -> None:
    def one(session: Any, value: float, **reading: Any) -> str:
        found = stored(
            session, suite="held_out", options={"reading": READING | reading},
            scores=[score("margin", value)],
        )  # fmt: skip
        records.item(session, found, 0, result={"margin": value})
        return found

    with transaction() as session:
        first, same, other = one(session, 1.0), one(session, 3.0), one(session, 3.0, max_length=9)
    compared = client.get(f"{PATH}/compare", params={"ids": f"{first},{same},{other}"}).json()
    (row,) = compared["metrics"]
    values = [cell["difference"] and cell["difference"]["value"] for cell in row["cells"]]
    assert values == [None, 2.0, None]
    assert row["cells"][1]["value"] == estimate(3.0)
    assert ["other settings" in note["message"] for note in compared["notes"]] == [True]
