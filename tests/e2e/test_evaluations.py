"""A tuned model is measured through the real stack: by its gates, by the command line, on the page.

A reward model of our own judges; the models are deployed for the evaluations alone.
"""

import json
from pathlib import Path

import pytest
from playwright.sync_api import Page, expect

from tests.e2e.conftest import EXAMPLES
from tests.e2e.pages import page  # noqa: F401  a fixture
from tests.e2e.wait import wait_for

pytestmark = [pytest.mark.stack, pytest.mark.engine, pytest.mark.slow, pytest.mark.timeout(900)]

PAIRS = EXAMPLES / "short-answers.jsonl"
SETTINGS = {"max_steps": 6, "batch_size": 4, "learning_rate": 0.001}
PROMPTS, LIMIT = 24, 20


@pytest.fixture
def prompts(stack, tmp_path: Path) -> str:
    """A file of prompts in IFEval's form, one of which stands there twice; returns its id."""
    path = tmp_path / "prompts.jsonl"
    with path.open("w") as file:
        for n in range(PROMPTS + 1):
            row = {
                "key": n,
                "prompt": f"Name {n % PROMPTS} things without a comma.",
                "instruction_id_list": ["punctuation:no_comma"],
                "kwargs": [{}],
            }
            file.write(json.dumps(row) + "\n")
    client = stack.openai()
    with path.open("rb") as content:
        sent = client.files.create(file=content, purpose="evals")
    done = client.files.wait_for_processing(sent.id, poll_interval=0.3, max_wait_seconds=120)
    assert done.status == "processed", done
    return done.id


def train(stack, until, model: str, file_id: str, method: str, **more: object) -> dict:
    """Run a job to its end and return it."""
    body = {
        "model": model,
        "training_file": file_id,
        "method": {"type": method, method: {"hyperparameters": SETTINGS}},
        **more,
    }
    with stack.http() as http:
        job = http.post("/v1/fine_tuning/jobs", json=body)
    assert job.status_code == 200, job.text
    return until(job.json()["id"], lambda job: job["status"] == "succeeded")


@pytest.fixture
def judge(stack, tiny: str, upload, until) -> str:
    """A judge: a reward model that was trained on the example pairs."""
    trained = train(stack, until, tiny, upload(PAIRS), "reward")
    body = {"name": "ours", "kind": "reward", "model": trained["fine_tuned_model"]}
    with stack.http() as http:
        made = http.post("/v1/judges", json=body)
    assert made.status_code == 200, made.text
    return made.json()["id"]


def test_gates_command_line_and_page(
    stack,
    tiny: str,
    judge: str,
    prompts: str,
    upload,
    until,
    page: Page,  # noqa: F811  the fixture
) -> None:
    with stack.http() as http:
        before = {each["model"] for each in http.get("/v1/deployments").json()["data"]}
    common = {"data": prompts, "limit": LIMIT}
    gates = [
        {"suite": "ifeval", "metric": "prompt_strict", "at_least": 0, **common},
        {"suite": "custom", "metric": "win_rate", "at_least": 0, "judge": judge, **common},
    ]
    pairs = upload(PAIRS)
    tuned = train(stack, until, tiny, pairs, "orpo", gates=gates)
    model = tuned["fine_tuned_model"]

    # Its evaluation waits behind those of the gates and needs their answers: the models stay.
    what = ("--suite", "ifeval", "--data", prompts)
    by_hand = evaluate(stack, model, "--against", tiny, *what, "--deploy")
    check_counts(by_hand)
    strict = overall(by_hand)["prompt_strict"]
    assert [strict[side]["n"] for side in ("model", "baseline", "difference")] == [LIMIT] * 3
    ours, theirs = by_hand["model"], by_hand["baseline"]
    assert len(ours["weights_sha256"]) == len(theirs["weights_sha256"]) == 64
    assert ours["weights_sha256"] != theirs["weights_sha256"]
    assert ours["template_sha256"] == theirs["template_sha256"]
    assert ours["engine"].startswith("vLLM ")

    what = ("--suite", "held_out", "--data", pairs)
    measured = evaluate(stack, model, "--against", tiny, *what)
    accuracy = overall(measured)["accuracy"]
    assert [accuracy[side]["n"] for side in ("model", "baseline", "difference")] == [LIMIT] * 3
    assert overall(measured)["logps_chosen"]["difference"]["low"] > 0, "it has learnt these pairs"
    diverse = evaluate(
        stack, model, "--suite", "diversity", "--data", prompts, "--samples", "2", "--deploy"
    )
    check_counts(diverse)
    assert diverse["diversity"]["embedded"] == 2 * LIMIT
    assert set(overall(diverse)) == {"per_input", "across_input"}

    decided = until(tuned["id"], lambda job: job["promotion"] is not None)
    assert decided["promotion"]["promoted"] is True, json.dumps(decided["promotion"], indent=1)
    by_gate = {gate["suite"]: gate["evaluation"] for gate in decided["promotion"]["gates"]}
    with stack.http() as http:
        judged = http.get(f"/v1/evaluations/{by_gate['custom']}").json()
        check_counts(judged)
        assert judged["counts"]["judged"] == LIMIT
        assert sum(judged["rewards"]["model"]) == sum(judged["rewards"]["baseline"]) == LIMIT
        # Answers are kept by what they were asked: the evaluation by hand has asked nothing again.
        same = [
            [row["answers"] for row in http.get(f"/v1/evaluations/{each}/items").json()["data"]]
            for each in (by_gate["ifeval"], by_hand["id"])
        ]
        assert len(same[0]) == LIMIT
        assert same[0] == same[1]

        def taken_back() -> bool:
            return {each["model"] for each in http.get("/v1/deployments").json()["data"]} == before

        wait_for(taken_back, 60, stack.logs)

    page.goto(f"/evaluations/{judged['id']}")
    expect(page.get_by_text(f"A subset: {LIMIT} of {PROMPTS} prompts")).to_be_visible()
    page.goto(f"/jobs/{tuned['id']}?tab=evaluations")
    expect(page.get_by_text("The model is promoted")).to_be_visible()


def evaluate(stack, model: str, *options: str) -> dict:
    """The evaluation that `oddsmith evaluate` has made of some prompts or pairs."""
    done = stack.oddsmith("evaluate", model, *options, "--limit", str(LIMIT), "--json")
    assert done.returncode == 0, (done.stdout, done.stderr, stack.logs())
    return json.loads(done.stdout)


def overall(found: dict) -> dict[str, dict]:
    """The scores over all categories, by metric."""
    return {each["metric"]: each for each in found["scores"] if each["category"] is None}


def check_counts(found: dict) -> None:
    """Every prompt was answered by both models, and the result says that it is of a part."""
    assert found["status"] == "succeeded", found["error"]
    counts = found["counts"]
    assert (counts["of"], counts["prompts"], counts["repeated"]) == (PROMPTS, LIMIT, 1)
    assert (counts["answered"], counts["failed"]) == (LIMIT, 0)
    assert found["is_subset"] is True
    assert found["is_incomplete"] is False
