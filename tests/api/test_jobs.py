"""What the page reads beyond OpenAI's objects: pairs with their texts, logs, methods."""

import json
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Any

import pytest
from fastapi.testclient import TestClient

from api.schemas.series import SeriesList
from models.jobs import JobState
from services.access.callers import Caller
from services.files import seed
from services.jobs import claims
from services.platform.database import transaction
from services.platform.settings import get_settings
from services.runs import metrics
from tests import records

CALLER = Caller(seed.ORG_ID, None, records.SCOPES)


def score(step: int, line: int, log_odds_ratio: float) -> dict[str, Any]:
    numbers = {"logps_chosen": -1.0, "logps_rejected": -2.0, "nll": 1.0}
    return {"step": step, "line": line, "log_odds_ratio": log_odds_ratio, **numbers}


@pytest.fixture
def job_id(product: None) -> str:
    """A job that a worker holds, with two held-out pairs measured before and after."""
    with transaction() as session:
        job = records.job(session, CALLER, JobState.QUEUED)
        claims.claim_next(session, "w")
        scores = [score(0, 3, 0.5), score(0, 8, 0.5), score(9, 3, 1.5), score(9, 8, -1.0)]
        metrics.write_pairs(session, job.id, 1, scores)
        return job.id


def test_parallel_creates_with_one_key_get_one_answer(client: TestClient):
    with transaction() as session:
        base, pairs = records.base_model(session, CALLER).id, records.file(session, CALLER).id

    def create(seed: int):
        body = {"model": base, "training_file": pairs, "seed": seed}
        headers = {"Idempotency-Key": "k"}
        return client.post("/v1/fine_tuning/jobs", json=body, headers=headers)

    with ThreadPoolExecutor(16) as pool:
        answers = list(pool.map(create, [1] * 50))
    assert {answer.status_code for answer in answers} == {200}
    # Compared as JSON: the database changes the order of names in an object.
    assert all(answer.json() == answers[0].json() for answer in answers)
    assert len(client.get("/v1/fine_tuning/jobs").json()["data"]) == 1
    refused = create(2)
    assert refused.status_code == 422
    assert "Idempotency-Key" in refused.json()["error"]["message"]


def run_dir(job_id: str) -> Path:
    return get_settings().runs_dir / job_id


def test_pairs_come_with_their_texts(client: TestClient, job_id: str):
    row = {
        "line": 8,
        "prompt": [{"role": "user", "content": "Why?"}],
        "chosen": [{"role": "assistant", "content": "Because."}],
        "rejected": [{"role": "assistant", "content": "A great question!"}],
    }
    path = run_dir(job_id) / "data" / "held_out.jsonl"
    path.parent.mkdir(parents=True)
    path.write_text(json.dumps(row) + "\n")
    unread, read = client.get(f"/v1/fine_tuning/jobs/{job_id}/pairs").json()["data"]
    assert (unread["line"], unread["prompt"], unread["chosen"]) == (3, None, None)
    assert read["prompt"] == row["prompt"]
    assert (read["chosen"], read["rejected"]) == ("Because.", "A great question!")
    assert (read["before"]["log_odds_ratio"], read["after"]["log_odds_ratio"]) == (0.5, -1.0)


def test_series_have_the_shape_that_the_document_promises(client: TestClient, job_id: str):
    with transaction() as session:
        lines = [
            {"step": step, "t": 0.0, "split": "train", "values": {"loss": value, "lr": 0.1}}
            for step, value in enumerate([3.0, None, 1.0, 0.5])
        ]
        metrics.write(session, job_id, 1, lines)
    path = f"/v1/fine_tuning/jobs/{job_id}/series"
    found = client.get(path, params={"keys": "train:loss,train:no", "x1": 2, "buckets": 1}).json()
    assert SeriesList.model_validate(found).model_dump() == found
    assert found["keys"] == ["train:loss", "train:lr"]
    point = {"x0": 0, "x1": 2, "min": 1.0, "max": 3.0, "mean": 2.0, "last": 1.0}
    assert found["data"] == [
        {"key": "train:loss", "points": [{**point, "count": 3, "finite": 2}]},
        {"key": "train:no", "points": []},
    ]
    later = client.get(path, params={"keys": "train:loss", "since": 2}).json()["data"][0]["points"]
    assert [(point["x1"], point["last"]) for point in later] == [(3, 0.5)]


def test_the_end_of_the_log_of_the_newest_attempt(client: TestClient, job_id: str):
    path = f"/v1/fine_tuning/jobs/{job_id}/logs"
    assert client.get(path).json()["text"] == ""
    log = run_dir(job_id) / "g1" / "train.log"
    log.parent.mkdir(parents=True)
    log.write_bytes(b"first\n\xff last\n")
    assert client.get(path).json()["text"] == "first\n\N{REPLACEMENT CHARACTER} last\n"
    tail = client.get(path, params={"tail_bytes": 5}).json()
    assert (tail["text"], tail["truncated"]) == ("last\n", True)
    assert client.get(path, params={"tail_bytes": 0}).status_code == 400


@pytest.mark.parametrize("what", ["pairs", "logs"])
def test_of_a_job_that_is_not_there(client: TestClient, what: str):
    assert client.get(f"/v1/fine_tuning/jobs/ftjob-no/{what}").status_code == 404


def test_methods_say_each_setting_with_its_default_and_a_sentence(client: TestClient):
    methods = {m["id"]: m for m in client.get("/v1/fine_tuning/methods").json()["data"]}
    preference = {"orpo", "supervised", "dpo", "simpo", "probability_ratio"}
    assert set(methods) == preference | {"reward", "ppo", "rloo"}
    for method in methods.values():
        for name, setting in method["hyperparameters"]["properties"].items():
            assert name == "type" or setting["description"].endswith("."), name
    assert methods["orpo"]["hyperparameters"]["properties"]["lambda"]["default"] == 0.1
    assert "lambda" not in methods["supervised"]["hyperparameters"]["properties"]
    assert methods["ppo"]["hyperparameters"]["required"] == ["reward_model"]


def test_a_method_shows_no_setting_that_means_nothing_to_it(client: TestClient):
    methods = {m["id"]: m for m in client.get("/v1/fine_tuning/methods").json()["data"]}
    unused = {"turns", "nll_tokens", "nll_reduction", "n_samples", "sample_tokens"}
    assert unused <= methods["orpo"]["hyperparameters"]["properties"].keys()
    assert not unused & methods["reward"]["hyperparameters"]["properties"].keys()
    assert methods["reward"]["groups"][0]["settings"][0]["name"] == "center"


@pytest.mark.parametrize(
    ("settings", "field", "word"),
    [
        ({"n_samples": 2}, "n_samples", "writes no text"),
        ({"strategy": "zero2", "processes": 2}, "strategy", "stays in fp32"),
        ({"center": -1}, "center", "must be 0 or more"),
    ],
)
def test_a_reward_model_is_refused_what_makes_no_sense(
    client: TestClient, settings: dict[str, Any], field: str, word: str
):
    method = {"type": "reward", "reward": {"hyperparameters": settings}}
    body = {"model": "m", "training_file": "file-no", "method": method}
    refused = client.post("/v1/fine_tuning/jobs", json=body)
    assert refused.status_code == 400
    error = refused.json()["error"]
    assert error["param"] == f"method.reward.hyperparameters.{field}"
    assert word in error["message"]
    assert "value error" not in error["message"].lower()


def test_methods_say_how_a_form_shows_their_settings(client: TestClient):
    for method in client.get("/v1/fine_tuning/methods").json()["data"]:
        known = method["hyperparameters"]["properties"]
        shown = [setting for group in method["groups"] for setting in group["settings"]]
        assert sorted(setting["name"] for setting in shown) == sorted(known.keys() - {"type"})
        for setting in shown:
            schema = known[setting["name"]]
            assert setting["description"] == schema["description"]
            assert setting["default"] == schema.get("default", setting["default"])
        assert {setting["name"]: setting["kind"] for setting in shown}.items() >= {
            ("n_epochs", "number"), ("max_steps", "integer"), ("use_dora", "flag"),
            ("tuning", "choice"), ("modules_to_save", "words"),
        }  # fmt: skip
        first = [setting["name"] for setting in method["groups"][0]["settings"]]
        assert first[-4:] == ["n_epochs", "learning_rate", "batch_size", "tuning"]
        own = {"lambda", "beta", "gamma", "nll_weight", "center"}
        if "reward_model" in known:
            own = {
                "reward_model", "ppo_epochs", "minibatch_size", "kl_weight", "kl_target",
                "max_new_tokens", "temperature", "answers_per_prompt",
            }  # fmt: skip
        assert set(first[:-4]) == known.keys() & own
        assert [group["name"] for group in method["groups"]] == [
            "Settings", "Schedule", "Adapter", "Text and loss", "Measuring", "Speed and memory",
        ]  # fmt: skip
        assert method["label"] != method["id"]
