"""Checks that the demo's training reaches its targets with each seed: `make bench-demo`.

Trains on the example pairs with three seeds through the running stack (or one that it starts),
sends every held-out prompt to base and tuned model, and prints a table. Exits with 1 if a target is
missed. Uses only the API of the stack.
"""

import json
import sys
from contextlib import ExitStack
from dataclasses import asdict, dataclass
from datetime import UTC, datetime
from pathlib import Path

from cli.client.http import Client, connect, segment
from cli.demo import demo, trial
from cli.stack.folder import Folder
from cli.view import output
from cli.view.checklist import Checklist
from cli.view.output import CommandError
from orpo.contract.numbers import Series

SEEDS = (0, 1, 2)
STYLE_AFTER_AT_LEAST = 0.6
STYLE_BEFORE_AT_MOST = 0.2
ACCURACY_BEFORE_WITHIN = (0.3, 0.8)
ACCURACY_RISES_BY = 0.1
TRAIN_S_AT_MOST = 300

RESULTS = Path(__file__).parent / "results"
BASE = "Ask the base model"


@dataclass(frozen=True)
class Outcome:
    seed: int
    accuracy_before: float
    accuracy_after: float
    log_odds_ratio_before: float
    log_odds_ratio_after: float
    style_before: float
    style_after: float
    train_s: float
    steps: int

    def missed(self) -> list[str]:
        low, high = ACCURACY_BEFORE_WITHIN
        targets = {
            "style after": self.style_after >= STYLE_AFTER_AT_LEAST,
            "style before": self.style_before <= STYLE_BEFORE_AT_MOST,
            "accuracy before": low <= self.accuracy_before <= high,
            "accuracy gain": self.accuracy_after - self.accuracy_before >= ACCURACY_RISES_BY - 1e-9,
            "training time": self.train_s <= TRAIN_S_AT_MOST,
        }
        return [name for name, is_met in targets.items() if not is_met]


def titles(seed: int) -> tuple[str, str, str]:
    return f"Train, seed {seed}", f"Deploy, seed {seed}", f"Ask the tuned model, seed {seed}"


def expected_s() -> dict[str, float]:
    expected = {demo.START: 15.0, demo.UNPACK: 5.0, demo.UPLOAD: 5.0, BASE: 120.0}
    for seed in SEEDS:
        expected |= dict(zip(titles(seed), (240.0, 60.0, 60.0), strict=True))
    return expected


def run_seed(
    client: Client, checklist: Checklist, files: trial.Files, seed: int, style_before: float
) -> Outcome:
    train, deploy, ask = titles(seed)
    with checklist.step(train) as training:
        view = trial.tune(client, training, files, seed)
    model = view.fine_tuned_model or ""
    with checklist.step(deploy) as step:
        deployment_ids = trial.deploy(client, step, [model])
    style_after = style_rate(client, checklist, ask, model)
    for deployment_id in deployment_ids:
        client.delete(f"/v1/deployments/{segment(deployment_id)}")
    accuracy = trial.change(client, view.job_id, Series.ACCURACY)
    odds = trial.change(client, view.job_id, Series.LOG_ODDS_RATIO)
    return Outcome(
        seed=seed,
        accuracy_before=accuracy.before,
        accuracy_after=accuracy.after,
        log_odds_ratio_before=odds.before,
        log_odds_ratio_after=odds.after,
        style_before=style_before,
        style_after=style_after,
        train_s=round(training.seconds, 1),
        steps=view.steps,
    )


def style_rate(client: Client, checklist: Checklist, title: str, model: str) -> float:
    with checklist.step(title) as step:
        (found,) = trial.answers(client, step, [model], trial.held_out_prompts())
        rate = trial.style().rate(found)
        step.detail = f"{rate:.0%} of {len(found)} answers in the style"
    return rate


def run_all(client: Client, checklist: Checklist, base_folder: Path) -> list[Outcome]:
    with checklist.step(demo.UPLOAD):
        trial.register_base(client, base_folder)
        files = trial.upload(client)
    with checklist.step(BASE) as step:
        trial.deploy(client, step, [trial.BASE_MODEL])
        (found,) = trial.answers(client, step, [trial.BASE_MODEL], trial.held_out_prompts())
    style_before = trial.style().rate(found)
    return [run_seed(client, checklist, files, seed, style_before) for seed in SEEDS]


def show(outcomes: list[Outcome]) -> None:
    rows = [
        [
            o.seed,
            f"{o.accuracy_before:.0%} → {o.accuracy_after:.0%}",
            f"{o.log_odds_ratio_before:+.2f} → {o.log_odds_ratio_after:+.2f}",
            f"{o.style_before:.0%} → {o.style_after:.0%}",
            f"{o.train_s:.0f} s, {o.steps} steps",
            ", ".join(o.missed()) or "none",
        ]
        for o in outcomes
    ]
    columns = ["seed", "held-out accuracy", "log odds ratio", "style", "training", "missed"]
    output.table(columns, rows, "Nothing was run.")


def write(outcomes: list[Outcome]) -> Path:
    RESULTS.mkdir(exist_ok=True)
    path = RESULTS / f"{datetime.now(UTC):%Y-%m-%d}-demo.json"
    found = {"hyperparameters": trial.DEMO_HYPERPARAMETERS, "seeds": list(map(asdict, outcomes))}
    path.write_text(json.dumps(found, indent=2) + "\n")
    return path


def main() -> int:
    folder, checklist = Folder(), Checklist(expected_s())
    folder.make()
    with demo.signals_as_interrupt(), ExitStack() as at_end:
        demo.prepare(checklist, folder, at_end)
        outcomes = run_all(connect(), checklist, demo.base_folder(folder))
    output.say("")
    show(outcomes)
    output.say(f"Written to {write(outcomes)}.")
    return 1 if any(outcome.missed() for outcome in outcomes) else 0


if __name__ == "__main__":
    try:
        sys.exit(main())
    except CommandError as error:
        output.complain(error.message)
        sys.exit(error.code)
