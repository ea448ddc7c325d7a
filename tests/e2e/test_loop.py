"""The whole loop with the unmodified `openai` client: a file goes in, a tuned model answers."""

import time
from itertools import islice
from pathlib import Path

import pytest

from tests.e2e.conftest import EXAMPLES, SHARED
from tests.e2e.wait import wait_for

pytestmark = [pytest.mark.stack, pytest.mark.engine, pytest.mark.slow, pytest.mark.timeout(900)]

HYPERPARAMETERS = {
    "lambda": 0.1,
    "max_steps": 4,
    "batch_size": 4,
    "checkpoint_every": 2,
    "eval_every": 4,
    "n_samples": 1,
}
QUESTION = [{"role": "user", "content": "Should I store bread in the fridge?"}]


def first_lines(source: Path, n: int, to: Path) -> Path:
    with source.open() as lines:
        to.write_text("".join(islice(lines, n)))
    return to


def loop(stack, base: str, path: Path) -> str:
    """Everything a person does with the client; returns the tuned model's id."""
    client = stack.openai()
    with path.open("rb") as content:
        file = client.files.create(file=content, purpose="fine-tune")
    file = client.files.wait_for_processing(file.id, poll_interval=0.3)
    assert file.status == "processed", file

    job = client.fine_tuning.jobs.create(
        model=base,
        training_file=file.id,
        method={"type": "orpo", "orpo": {"hyperparameters": HYPERPARAMETERS}},
        suffix="loop",
        metadata={"test": "loop"},
    )
    until = time.monotonic() + 400
    while (job := client.fine_tuning.jobs.retrieve(job.id)).status not in (
        "succeeded",
        "failed",
        "cancelled",
    ):
        assert time.monotonic() < until, stack.logs()
        time.sleep(1)
    events = list(client.fine_tuning.jobs.list_events(job.id, limit=5))
    assert job.status == "succeeded", (job.error, stack.logs())
    assert job.trained_tokens
    assert "Finished" in events[0].message
    assert [event.created_at for event in events] == sorted(
        (event.created_at for event in events), reverse=True
    )
    checkpoints = client.fine_tuning.jobs.checkpoints.list(job.id).data
    assert [checkpoint.step_number for checkpoint in checkpoints] == [4, 2]
    assert 0 <= checkpoints[0].metrics.accuracy <= 1
    table = client.files.content(job.result_files[0]).text
    assert table.startswith("step,split,")

    assert job.fine_tuned_model
    for model in (base, job.fine_tuned_model):
        deploy(stack, model)
    models = {model.id: model for model in client.models.list()}
    assert models[base].deployed
    assert models[job.fine_tuned_model].deployed
    assert models[job.fine_tuned_model].parent == base
    for model in (base, job.fine_tuned_model):
        stream = client.chat.completions.create(
            model=model, messages=QUESTION, max_tokens=12, temperature=0, stream=True
        )
        text = "".join(chunk.choices[0].delta.content or "" for chunk in stream if chunk.choices)
        assert text.strip()
    return job.fine_tuned_model


def deploy(stack, model: str) -> dict:
    with stack.http() as http:
        made = http.post("/v1/deployments", json={"model": model})
        assert made.status_code in (200, 201), made.text

        def ready() -> dict | None:
            deployment = http.get(f"/v1/deployments/{made.json()['id']}").json()
            assert deployment["status"] != "failed", (deployment, stack.logs())
            return deployment if deployment["status"] == "ready" else None

        return wait_for(ready, 300, stack.logs)


def test_the_loop_on_the_example_pairs(stack, base, tmp_path):
    path = first_lines(EXAMPLES / "short-answers.jsonl", 24, tmp_path / "pairs.jsonl")
    tuned = loop(stack, base, path)
    with stack.http() as http:
        deployments = http.get("/v1/deployments").json()["data"]
        (deployment,) = (d for d in deployments if d["model"] == tuned)
        assert deployment["parity"]["token_ids_equal"] is True
        assert deployment["parity"]["max_logprob_diff"] < 0.35
        assert len(deployment["parity"]["weights_sha256"]) == 64
        again = http.post("/v1/deployments", json={"model": tuned}).json()
        assert again["id"] == deployment["id"]


def test_the_loop_on_human_ranked_pairs(stack, base, tmp_path):
    source = SHARED / "data" / "oasst_pairs.jsonl"
    if not source.exists():
        pytest.skip("the shared preference data is not on this machine")
    loop(stack, base, first_lines(source, 40, tmp_path / "pairs.jsonl"))
