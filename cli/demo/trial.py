"""One run of the example pairs: upload, tune, deploy, ask, measure. The demo and its benchmark use
it.

Knows the examples and the API; the demo starts the stack and shows the results.
"""

import importlib.util
import json
from collections.abc import Iterator, Sequence
from concurrent.futures import ThreadPoolExecutor, wait
from contextlib import suppress
from dataclasses import dataclass
from functools import partial
from pathlib import Path
from threading import Event
from types import ModuleType
from typing import Any

from rich.console import Group
from rich.text import Text

from cli.client.answers import Comparison, Sampling, ask
from cli.client.http import Client, segment, wait_until
from cli.client.operations import reason
from cli.commands import watch
from cli.commands.base_models import register
from cli.commands.uploads import validated
from cli.stack.parts import ROOT
from cli.view import output
from cli.view.checklist import Step
from cli.view.output import CommandError

EXAMPLES = ROOT / "examples"
TRAINING = EXAMPLES / "short-answers.jsonl"
HELD_OUT = EXAMPLES / "short-answers.held-out.jsonl"
BASE_MODEL = "SmolLM2-135M-Instruct"

DEMO_HYPERPARAMETERS: dict[str, Any] = {
    "lambda": 0.25,
    "n_epochs": 1,
    "batch_size": 2,
    "learning_rate": 8e-4,
    "schedule": "linear",
    "lora_rank": 16,
    "lora_alpha": 32,
    "max_length": 512,
    # Only twice in the run: on a CPU, evaluating and sampling cost as much as many steps.
    "eval_every": 43,
    "checkpoint_every": 43,
    "n_samples": 2,
    "sample_tokens": 48,
}

TITLES = ("base", "tuned")
GREEDY: Sampling = {"temperature": 0, "max_tokens": 120}
# Fewer than the API lets a key have by default. They take a third of the time of one at a time.
ANSWERS_AT_ONCE = 6
REDRAW_S = 0.1
FIRST_TOKEN_S = 10


@dataclass(frozen=True)
class Files:
    training: str
    held_out: str
    report: dict[str, Any]


@dataclass(frozen=True)
class Change:
    """A number of the held-out pairs before and after training."""

    before: float
    after: float


def style() -> ModuleType:
    """Load examples/style.py, which is a script beside the data, not a package."""
    spec = importlib.util.spec_from_file_location("examples_style", EXAMPLES / "style.py")
    if spec is None or spec.loader is None:
        raise CommandError(f"{EXAMPLES / 'style.py'} can't be loaded.")
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    return module


def held_out_prompts() -> list[str]:
    rows = [json.loads(line) for line in HELD_OUT.read_text("utf-8").splitlines()]
    return [row["prompt"][-1]["content"] for row in rows]


def register_base(client: Client, folder: Path) -> None:
    if BASE_MODEL not in {model["id"] for model in client.items("/v1/models")}:
        register(client, str(folder))


def upload(client: Client) -> Files:
    training, held_out = (client.upload(path)["id"] for path in (TRAINING, HELD_OUT))
    validated(client, training)
    validated(client, held_out)
    return Files(training, held_out, client.get(f"/v1/files/{training}/report"))


def tune(client: Client, step: Step, files: Files, seed: int) -> watch.JobView:
    """Create the job and follow it to its end; raises CommandError unless it succeeds."""
    body = {
        "model": BASE_MODEL,
        "training_file": files.training,
        "validation_file": files.held_out,
        "method": {"type": "orpo", "orpo": {"hyperparameters": DEMO_HYPERPARAMETERS}},
        "suffix": "short-answers",
        "seed": seed,
    }
    view = watch.JobView(client.post("/v1/fine_tuning/jobs", body)["id"])
    step.body = watch.Sparklines(view)
    try:
        for event in watch.stream(view.job_id):
            view.apply(event)
            step.detail = f"step {view.step} of {view.steps}" if view.steps else view.status
            if view.step and view.step == view.steps:
                step.detail = "the last evaluation, and saving"
            step.at(view.step, view.steps, view.eta_s)
    except (CommandError, KeyboardInterrupt):
        # A job left in the queue would be trained before the next demo's job.
        with suppress(CommandError):
            client.post(f"/v1/fine_tuning/jobs/{segment(view.job_id)}/cancel")
        raise
    if view.status != "succeeded" or not view.fine_tuned_model:
        why = reason(view.error)
        raise CommandError(f"Run {view.job_id} {view.status}. {why}".rstrip())
    return view


def deploy(client: Client, step: Step, models: Sequence[str]) -> list[str]:
    """Deploy all at once and wait until each answers; models with the same base share one engine.

    Returns the deployments' ids.
    """
    waiting = [client.post("/v1/deployments", {"model": model}) for model in models]
    for deployment in waiting:
        step.detail = deployment["model"]
        found = wait_until(
            client,
            f"/v1/deployments/{segment(deployment['id'])}",
            lambda d: d["status"] not in {"pending", "starting"},
            on_poll=lambda _: step.tick(),
        )
        if found["status"] != "ready":
            why = reason(found.get("error"))
            raise CommandError(f"{found['model']} is {found['status']}. {why}".rstrip())
    step.detail = f"{len(models)} models" if len(models) > 1 else models[0]
    return [deployment["id"] for deployment in waiting]


def comparisons(
    client: Client, step: Step, models: Sequence[str], prompts: Sequence[str]
) -> Iterator[Comparison]:
    """Ask every prompt greedily, several at a time; yield the comparisons in the order of prompts.

    The step shows the first one that is not complete while its answers stream. The first question
    is alone until its answer begins, or for 10 s: its time to the first token is that of one user.
    """
    begun: dict[int, Comparison] = {}
    streams = Event()

    def asked(at: int) -> Comparison:
        if at:
            streams.wait(FIRST_TOKEN_S)
        return ask(client, models, prompts[at], GREEDY, partial(begun.__setitem__, at))

    pool = ThreadPoolExecutor(max(1, ANSWERS_AT_ONCE // len(models)))
    try:
        pending = [pool.submit(asked, at) for at in range(len(prompts))]
        for at, comparison in enumerate(pending):
            while wait([comparison], timeout=REDRAW_S).not_done:
                if at in begun:
                    if begun[at].first_token_s is not None:
                        streams.set()
                    begun[at].titles = TITLES[: len(models)]
                    question = Text(f"\n{output.plain(prompts[at])}", "bold")
                    step.body = Group(question, begun[at])
                step.tick()
            streams.set()
            step.body, step.detail = None, f"{at + 1} of {len(prompts)}"
            step.at(at + 1, len(prompts))
            yield _complete(comparison.result())
    finally:
        step.body = None
        streams.set()
        pool.shutdown(wait=False, cancel_futures=True)


def _complete(comparison: Comparison) -> Comparison:
    comparison.titles = TITLES[: len(comparison.sides)]
    for side in comparison.sides:
        if side.error:
            raise CommandError(f"{side.model} could not answer. {side.error}")
    return comparison


def answers(
    client: Client, step: Step, models: Sequence[str], prompts: Sequence[str]
) -> list[list[str]]:
    """Ask every prompt; return the answers of each model."""
    found = comparisons(client, step, models, prompts)
    rows = [[side.answer for side in comparison.sides] for comparison in found]
    return [list(column) for column in zip(*rows, strict=True)]


def change(client: Client, job_id: str, name: str) -> Change:
    """Read a held-out number at step 0 and at the last step."""
    key = f"held_out:{name}"
    path = f"/v1/fine_tuning/jobs/{segment(job_id)}/series"
    points = client.get(path, keys=key, buckets=500)["data"][0]["points"]
    values = [point["last"] for point in points if point["last"] is not None]
    if not values:
        raise CommandError(f"Run {job_id} has no {name} on held-out pairs.")
    return Change(values[0], values[-1])
