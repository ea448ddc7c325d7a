"""An evaluation through the real stack: a tuned model against its base, deployed for it alone."""

import json
from pathlib import Path

import pytest

from tests.e2e.wait import wait_for

pytestmark = [pytest.mark.stack, pytest.mark.engine, pytest.mark.slow, pytest.mark.timeout(900)]

ENDED = ("succeeded", "failed", "cancelled")


def write(path: Path, rows: list[dict]) -> Path:
    path.write_text("".join(f"{json.dumps(row)}\n" for row in rows))
    return path


def pairs(tmp_path: Path) -> Path:
    rows = [
        {"prompt": f"Say {n}.", "chosen": f"Certainly: {n}.", "rejected": f"No idea about {n}!"}
        for n in range(12)
    ]
    return write(tmp_path / "pairs.jsonl", rows)


def prompts(tmp_path: Path) -> Path:
    """Prompts in IFEval's form. One stands there twice."""
    rows = [
        {
            "key": n,
            "prompt": f"Name {n % 4} things without a comma.",
            "instruction_id_list": ["punctuation:no_comma"],
            "kwargs": [{}],
        }
        for n in range(5)
    ]
    return write(tmp_path / "prompts.jsonl", rows)


@pytest.fixture
def tuned(stack, tiny: str, upload, until, tmp_path: Path) -> str:
    hyperparameters = {"n_epochs": 1, "batch_size": 4, "learning_rate": 0.001}
    body = {
        "model": tiny,
        "training_file": upload(pairs(tmp_path)),
        "method": {"type": "orpo", "orpo": {"hyperparameters": hyperparameters}},
    }
    with stack.http() as http:
        job = http.post("/v1/fine_tuning/jobs", json=body).raise_for_status().json()
    return until(job["id"], lambda job: job["status"] == "succeeded")["fine_tuned_model"]


def upload_prompts(stack, path: Path) -> str:
    client = stack.openai()
    with path.open("rb") as content:
        file = client.files.create(file=content, purpose="evals")
    done = client.files.wait_for_processing(file.id, poll_interval=0.3, max_wait_seconds=120)
    assert done.status == "processed", done
    return done.id


def evaluated(stack, body: dict) -> dict:
    with stack.http() as http:
        made = http.post("/v1/evaluations", json=body)
        assert made.status_code == 200, made.text

        def look() -> dict | None:
            found = http.get(f"/v1/evaluations/{made.json()['id']}").json()
            return found if found["status"] in ENDED else None

        return wait_for(look, 600, stack.logs, interval_s=0.5)


def test_tuned_against_base_on_ifeval_deployed_for_it_alone(
    stack, tiny: str, tuned: str, tmp_path: Path
) -> None:
    with stack.http() as http:
        before = {each["model"] for each in http.get("/v1/deployments").json()["data"]}
    body = {
        "model": tuned,
        "suite": "ifeval",
        "data": upload_prompts(stack, prompts(tmp_path)),
        "baseline": tiny,
        "limit": 3,
        "sampling": {"max_tokens": 8},
        "deploy": True,
    }
    found = evaluated(stack, body)
    assert found["status"] == "succeeded", (found["error"], stack.logs())
    counts = found["counts"]
    assert (counts["of"], counts["prompts"], counts["repeated"]) == (4, 3, 1)
    assert (counts["answered"], counts["failed"]) == (3, 0)
    assert found["is_subset"] is True
    assert found["is_incomplete"] is False
    scores = {each["metric"]: each for each in found["scores"] if each["category"] is None}
    strict = scores["prompt_strict"]
    assert (strict["model"]["n"], strict["baseline"]["n"], strict["difference"]["n"]) == (3, 3, 3)
    ours, theirs = found["model"], found["baseline"]
    assert len(ours["weights_sha256"]) == len(theirs["weights_sha256"]) == 64
    assert ours["weights_sha256"] != theirs["weights_sha256"]
    assert ours["template_sha256"] == theirs["template_sha256"]
    assert ours["engine"].startswith("vLLM ")
    with stack.http() as http:
        items = http.get(f"/v1/evaluations/{found['id']}/items").json()["data"]
        texts = [answer["text"] for item in items for answer in item["answers"]]
        assert len(texts) == 3

        def taken_back() -> bool:
            return {each["model"] for each in http.get("/v1/deployments").json()["data"]} == before

        wait_for(taken_back, 60, stack.logs)
