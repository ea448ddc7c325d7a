"""The whole loop with the unmodified `openai` client: upload pairs, train, follow, deploy, chat.

    .venv/bin/python examples/with_openai_client.py --model SmolLM2-135M-Instruct --set max_steps=20

Needs a running stack (`make up`) with that base model in it, and the package `openai`, which
`.venv` already has. Address and key are read from the stack's folder.
"""

import argparse
import json
import time
from pathlib import Path
from typing import Any

from openai import OpenAI
from openai.types.fine_tuning import FineTuningJob

PAIRS = Path(__file__).with_name("short-answers.jsonl")
QUESTION = "Should I keep bread in the fridge?"


def connect(stack: Path) -> OpenAI:
    """A client of the running stack."""
    running = json.loads(stack.read_text())
    return OpenAI(base_url=f"{running['url']}/v1", api_key=running["api_key"])


def upload(client: OpenAI, pairs: Path) -> str:
    """Upload a preference file and wait until its rows were checked; returns its id."""
    with pairs.open("rb") as content:
        file = client.files.create(file=content, purpose="fine-tune")
    file = client.files.wait_for_processing(file.id, poll_interval=1)
    if file.status != "processed":
        raise SystemExit(f"{pairs.name} can't be used: {file.status_details}")
    return file.id


def follow(client: OpenAI, job: FineTuningJob) -> FineTuningJob:
    """Print a job's events, oldest first, until it has ended."""
    printed: set[str] = set()
    while True:
        job = client.fine_tuning.jobs.retrieve(job.id)
        for event in reversed(client.fine_tuning.jobs.list_events(job.id, limit=100).data):
            if event.id not in printed:
                print(f"{event.level}: {event.message}")
                printed.add(event.id)
        if job.status in ("succeeded", "failed", "cancelled"):
            return job
        time.sleep(1)


def deploy(client: OpenAI, model: str) -> None:
    """Serve a model and wait until it answers. Deployments are not part of OpenAI's API."""
    made: Any = client.post("/deployments", cast_to=object, body={"model": model})
    while made["status"] != "ready":
        if made["status"] == "failed":
            raise SystemExit(f"{model} can't be served: {made['error']}")
        time.sleep(1)
        made = client.get(f"/deployments/{made['id']}", cast_to=object)


def ask(client: OpenAI, model: str) -> None:
    """Print a model's answer to the question while it streams."""
    print(f"\n{model}: ", end="")
    stream = client.chat.completions.create(
        model=model,
        messages=[{"role": "user", "content": QUESTION}],
        max_tokens=60,
        temperature=0,
        stream=True,
    )
    for chunk in stream:
        print(chunk.choices[0].delta.content or "" if chunk.choices else "", end="", flush=True)
    print()


def setting(text: str) -> tuple[str, Any]:
    """Split `max_steps=20` into a name and a value."""
    name, _, value = text.partition("=")
    return name, json.loads(value)


def main() -> None:
    parser = argparse.ArgumentParser(
        description="Tune a model, then ask it and its base a question."
    )
    parser.add_argument("--model", required=True, help="id of the base model")
    parser.add_argument("--pairs", type=Path, default=PAIRS, help="preference file")
    parser.add_argument("--set", action="append", default=[], help="a setting, as max_steps=20")
    parser.add_argument("--stack", type=Path, default=Path("var/stack.json"))
    options = parser.parse_args()
    settings = dict(map(setting, options.set))
    # OpenAI's types have no method `orpo`, but its client sends any method.
    method: Any = {"type": "orpo", "orpo": {"hyperparameters": settings}}

    client = connect(options.stack)
    file_id = upload(client, options.pairs)
    job = client.fine_tuning.jobs.create(model=options.model, training_file=file_id, method=method)
    job = follow(client, job)
    if not job.fine_tuned_model:
        raise SystemExit(f"The job has {job.status}: {job.error}")
    for model in (options.model, job.fine_tuned_model):
        deploy(client, model)
        ask(client, model)


if __name__ == "__main__":
    main()
