"""The whole loop with the unmodified `openai` client: upload, train, deploy, chat."""

import tarfile
from itertools import islice
from pathlib import Path

import pytest
import torch
from openai.types.fine_tuning import FineTuningJob
from peft import PeftModel
from transformers import AutoModelForCausalLM

from tests import probes
from tests.e2e.conftest import EXAMPLES, SHARED
from tests.e2e.wait import wait_for

pytestmark = [pytest.mark.stack, pytest.mark.engine, pytest.mark.slow, pytest.mark.timeout(900)]

HYPERPARAMETERS = {
    "lambda": 0.1,
    "max_steps": 2,
    "batch_size": 2,
    "checkpoint_every": 1,
    "eval_every": 2,
    "n_samples": 1,
}
QUESTION = [{"role": "user", "content": "Should I store bread in the fridge?"}]


def first_lines(source: Path, n: int, to: Path) -> Path:
    with source.open() as lines:
        to.write_text("".join(islice(lines, n)))
    return to


def loop(stack, base: str, path: Path, **hyperparameters: object) -> FineTuningJob:
    """Run the loop as a user of the client does; return the finished job."""
    settings = HYPERPARAMETERS | hyperparameters
    client = stack.openai()
    with path.open("rb") as content:
        file = client.files.create(file=content, purpose="fine-tune")
    file = client.files.wait_for_processing(file.id, poll_interval=0.3)
    assert file.status == "processed", file

    job = client.fine_tuning.jobs.create(
        model=base,
        training_file=file.id,
        method={"type": "orpo", "orpo": {"hyperparameters": settings}},
        suffix="loop",
        metadata={"test": "loop"},
    )
    job_id = job.id

    def ended() -> FineTuningJob | None:
        found = client.fine_tuning.jobs.retrieve(job_id)
        return found if found.status in ("succeeded", "failed", "cancelled") else None

    job = wait_for(ended, 400, stack.logs)
    events = list(client.fine_tuning.jobs.list_events(job.id, limit=5))
    assert job.status == "succeeded", (job.error, stack.logs())
    assert job.trained_tokens
    assert "Finished" in events[0].message
    assert [event.created_at for event in events] == sorted(
        (event.created_at for event in events), reverse=True
    )
    checkpoints = client.fine_tuning.jobs.checkpoints.list(job.id).data
    steps = [checkpoint.step_number for checkpoint in checkpoints]
    assert steps == [settings["max_steps"], settings["checkpoint_every"]]
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
    return job


def deploy(stack, model: str) -> dict:
    with stack.http() as http:
        made = http.post("/v1/deployments", json={"model": model})
        assert made.status_code in (200, 201), made.text

        def ready() -> dict | None:
            deployment = http.get(f"/v1/deployments/{made.json()['id']}").json()
            assert deployment["status"] != "failed", (deployment, stack.logs())
            return deployment if deployment["status"] == "ready" else None

        return wait_for(ready, 300, stack.logs)


def deployment_of(stack, job: FineTuningJob) -> dict:
    with stack.http() as http:
        deployments = http.get("/v1/deployments").json()["data"]
    (deployment,) = (d for d in deployments if d["model"] == job.fine_tuned_model)
    return deployment


def download(stack, job: FineTuningJob, to: Path, *options: str) -> Path:
    """Download a model's weights with the command line; return the folder."""
    done = stack.oddsmith(
        "models", "download", job.fine_tuned_model, str(to.with_suffix(".tar")), *options
    )
    assert done.returncode == 0, done.stdout + done.stderr
    with tarfile.open(to.with_suffix(".tar")) as tar:
        tar.extractall(to)
    (config,) = [*to.rglob("adapter_config.json"), *to.rglob("config.json")]
    return config.parent


def differences(policy: torch.nn.Module, stack, job: FineTuningJob) -> list[float]:
    """The difference of each log-prob of a model from the last checkpoint's probe."""
    checkpoint = max(stack.run_dir(job.id, 1).glob("checkpoints/step-*"))
    return [
        abs(own - probed)
        for prompt in probes.read(checkpoint)
        for own, probed in zip(probes.logprobs(policy, prompt), prompt["logprobs"], strict=True)
    ]


def whole(folder: Path) -> torch.nn.Module:
    return AutoModelForCausalLM.from_pretrained(folder, dtype=torch.float32)


def test_the_loop_on_the_example_pairs(stack, base, smollm2, tmp_path):
    path = first_lines(EXAMPLES / "short-answers.jsonl", 8, tmp_path / "pairs.jsonl")
    # A high rate, so that two steps are visible in weights rounded to bf16.
    job = loop(stack, base, path, learning_rate=1e-3)
    deployment = deployment_of(stack, job)
    assert deployment["parity"]["token_ids_equal"] is True
    assert deployment["parity"]["max_logprob_diff"] < 0.01  # engine and probe are fp32 on a CPU
    assert len(deployment["parity"]["weights_sha256"]) == 64
    with stack.http() as http:
        again = http.post("/v1/deployments", json={"model": job.fine_tuned_model}).json()
    assert again["id"] == deployment["id"]

    adapter = download(stack, job, tmp_path / "adapter")
    with_adapter = PeftModel.from_pretrained(whole(smollm2), str(adapter))
    assert max(differences(with_adapter, stack, job)) < 0.001
    merged = whole(download(stack, job, tmp_path / "merged", "--merged"))
    assert max(differences(merged, stack, job)) < 0.2  # its weights are rounded to bf16
    layer = "model.layers.0.self_attn.q_proj.weight"
    assert not torch.equal(merged.get_parameter(layer), whole(smollm2).get_parameter(layer))


def test_an_engine_outlives_the_api_and_is_met_again(stack, base):
    deploy(stack, base)
    engine = {process.pid for process in stack.processes("vllm")}
    assert engine
    stack.kill_api()
    answer = stack.openai().chat.completions.create(model=base, messages=QUESTION, max_tokens=4)
    assert answer.choices[0].message.content
    assert {process.pid for process in stack.processes("vllm")} == engine


def test_all_weights_are_tuned_served_and_downloaded(stack, tiny, tmp_path):
    path = first_lines(EXAMPLES / "short-answers.jsonl", 8, tmp_path / "pairs.jsonl")
    job = loop(stack, tiny, path, tuning="full")
    deployment = deployment_of(stack, job)
    assert deployment["engine"]["adapter"] is None
    assert deployment["parity"]["max_logprob_diff"] < 0.01
    folder = download(stack, job, tmp_path / "whole", "--merged")
    assert max(differences(whole(folder), stack, job)) < 0.001


@pytest.mark.long
def test_the_loop_on_human_ranked_pairs(stack, base, tmp_path):
    source = SHARED / "data" / "oasst_pairs.jsonl"
    if not source.exists():
        pytest.skip("the shared preference data is not on this machine")
    loop(stack, base, first_lines(source, 8, tmp_path / "pairs.jsonl"))
