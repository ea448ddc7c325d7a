"""The runs behind the figures: which there are, and the numbers that are kept of each.

A run whose numbers lie in `results/` is not repeated, and one that was interrupted is resumed, so
`make paper` can be stopped at any moment. Weights and logs lie in `var/paper`.
"""

import json
import subprocess
import sys
from collections.abc import Callable, Iterable
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from bench.base import demo_model
from orpo.contract import rundir
from orpo.contract.numbers import Series
from orpo.contract.rundir import METRICS, Split

ROOT = Path(__file__).resolve().parents[2]
EXAMPLES = ROOT / "examples"
PAIRS, HELD_OUT = EXAMPLES / "short-answers.jsonl", EXAMPLES / "short-answers.held-out.jsonl"
RESULTS = Path(__file__).parent / "results"
WORK = ROOT / "var" / "paper"

SEEDS = (0, 1, 2)
LAMBDA = 0.25
LAMBDAS = (0.1, 0.5, 1.0)  # those of the paper's Figure 9
CURVES = (Series.LOGPS_CHOSEN, Series.LOGPS_REJECTED, Series.LOG_ODDS_RATIO, Series.ACCURACY)
COMMON: dict[str, Any] = {
    "n_epochs": 1, "batch_size": 2, "learning_rate": 8e-4, "schedule": "linear",
    "lora_rank": 16, "lora_alpha": 32, "max_length": 512, "eval_every": 10,
    "checkpoint_every": 43, "n_samples": 0,
}  # fmt: skip
PPO: dict[str, Any] = {
    "max_length": 512, "max_steps": 12, "eval_every": 3,
    "checkpoint_every": 6, "n_samples": 0,
}  # fmt: skip
# PPO optimises the first reward model; answers are compared with the second, which it never saw.
TEACHER, JUDGE = "reward-0", "reward-1"


@dataclass(frozen=True)
class Run:
    """One training: `start` names the run whose weights it begins with, None the base model.

    `answers`: whether the trained model is asked the held-out prompts afterwards.
    """

    name: str
    method: str
    seed: int = 0
    settings: dict[str, Any] = field(default_factory=dict)
    start: str | None = None
    answers: bool = True

    @property
    def folder(self) -> Path:
        return WORK / self.name


def _supervised(seed: int) -> str:
    return f"supervised-{seed}"


# As in the paper, DPO and PPO begin with a supervised model, and ORPO with the base model.
RUNS: tuple[Run, ...] = (
    Run(TEACHER, "reward", 0, answers=False),
    Run(JUDGE, "reward", 1, answers=False),
    *(Run(_supervised(seed), "supervised", seed) for seed in SEEDS),
    *(Run(f"orpo-{seed}", "orpo", seed, {"lambda": LAMBDA}) for seed in SEEDS),
    *(
        Run(f"dpo-{seed}", "dpo", seed, {"learning_rate": 1e-4}, start=_supervised(seed))
        for seed in SEEDS
    ),
    *(Run(f"lambda-{value}", "orpo", 0, {"lambda": value}, answers=False) for value in LAMBDAS),
    Run("probability-ratio", "probability_ratio", 0, {"lambda": 1.0}, answers=False),
    Run("ppo-0", "ppo", 0, {}, start=_supervised(0)),
)
BY_NAME = {run.name: run for run in RUNS}
BASE = "base"


def do_all(say: Callable[[str], None], only: Iterable[str] = ()) -> None:
    """Do what is missing of every run, or of those in `only`: first train, then ask and score."""
    wanted = set(only) or {*BY_NAME, BASE}
    for run in RUNS:
        if run.name in wanted and read(run.name) is None:
            say(f"{run.name}: training")
            train(run)
            about = {"method": run.method, "seed": run.seed, "settings": settings(run)}
            keep(run.name, {**about, "held_out": curves(run)})
    for run in RUNS:
        if run.answers and run.name in wanted:
            _answer(say, run.name, start_of(run), checkpoint_of(run) / rundir.ADAPTER)
    if BASE in wanted:
        _answer(say, BASE, demo_model().resolve(), None)


def _answer(say: Callable[[str], None], name: str, base: Path, adapter: Path | None) -> None:
    if read(answers_of(name)) is None:
        say(f"{name}: answering")
        keep(answers_of(name), answered(name, base, adapter))


def answers_of(name: str) -> str:
    """The name under which the rewards of a run's answers are kept."""
    return f"{name}.answers"


def settings(run: Run) -> dict[str, Any]:
    """The hyperparameters of a run; `train` adds the folder of PPO's reward model."""
    if run.method == "ppo":
        return {**PPO, **run.settings}
    refused = {"n_samples"} if run.method == "reward" else set[str]()
    common = {name: value for name, value in COMMON.items() if name not in refused}
    return {**common, **run.settings}


def start_of(run: Run) -> Path:
    """The folder of the model that a run begins with; a tuned one is merged first."""
    if run.start is None:
        return demo_model().resolve()
    merged = BY_NAME[run.start].folder / "merged"
    if not merged.exists():
        source = checkpoint_of(BY_NAME[run.start])
        partial = merged.with_suffix(".tmp")
        command("orpo.merge", str(source), str(partial))
        partial.rename(merged)
    return merged


def train(run: Run) -> Path:
    """Train a run, or what is left of it; return its last checkpoint."""
    given = settings(run)
    if run.method == "ppo":
        given["reward_model"] = str(checkpoint_of(BY_NAME[TEACHER]))
    chosen = [f"--set={name}={json.dumps(value)}" for name, value in given.items()]
    argv = ["train", "--model", str(start_of(run)), "--data", str(PAIRS), "--json"]
    argv += ["--held-out", str(HELD_OUT), "--out", str(run.folder), "--method", run.method]
    argv += ["--seed", str(run.seed), *chosen]
    if rundir.generations(run.folder):
        argv.append("--resume")
    command("cli.main", *argv)
    return checkpoint_of(run)


def checkpoint_of(run: Run) -> Path:
    """The last checkpoint of a run that has ended."""
    return max(rundir.saved(run.folder), key=rundir.step_of)


def curves(run: Run) -> dict[str, dict[str, float]]:
    """The held-out numbers by step, of all attempts at the run."""
    found: dict[str, dict[str, float]] = {}
    for attempt in rundir.generations(run.folder):
        for record in map(json.loads, (attempt / METRICS).read_text().splitlines()):
            if record["split"] == Split.HELD_OUT:
                values = record["values"]
                found[str(record["step"])] = {n: values[n] for n in values if n in _kept(run)}
    return found


def _kept(run: Run) -> set[str]:
    return set(CURVES) if run.method != "ppo" else set(Series)


def answered(name: str, base: Path, adapter: Path | None) -> dict[str, Any]:
    """Ask a model the held-out prompts and score the answers with the judge.

    Returns for each prompt the rewards of its answers, their lengths in words, and the first of
    them.
    """
    folder = WORK / "answers"
    folder.mkdir(parents=True, exist_ok=True)
    answers, rewards = folder / f"{name}.jsonl", folder / f"{name}.rewards.jsonl"
    if not answers.exists():
        partial = answers.with_suffix(".tmp")
        command("examples.paper.ask", str(base), str(adapter or ""), str(HELD_OUT), str(partial))
        partial.rename(answers)
    command("orpo.score", str(checkpoint_of(BY_NAME[JUDGE])), str(answers), str(rewards))
    rows = list(map(json.loads, answers.read_text().splitlines()))
    scored = list(map(json.loads, rewards.read_text().splitlines()))
    return {
        "answers": [
            {
                "prompt": row["prompt"][-1]["content"],
                "rewards": [round(value, 4) for value in rated["rewards"]],
                "words": [len(text.split()) for text in row["answers"]],
                "first": row["answers"][0],
            }
            for row, rated in zip(rows, scored, strict=True)
        ]
    }


def command(module: str, *arguments: str) -> None:
    """Run a module of the checkout; what it prints goes to `var/paper/log`."""
    WORK.mkdir(parents=True, exist_ok=True)
    with (WORK / "log").open("a") as log:
        argv = [sys.executable, "-m", module, *arguments]
        done = subprocess.run(argv, cwd=ROOT, stdout=log, stderr=log, check=False)
    if done.returncode:
        raise SystemExit(f"`{module}` failed; the last lines of {WORK / 'log'} say why.")


def keep(name: str, found: dict[str, Any]) -> None:
    """Write the numbers of a run in one step."""
    RESULTS.mkdir(exist_ok=True)
    path = RESULTS / f"{name}.json"
    partial = path.with_suffix(".tmp")
    partial.write_text(json.dumps(found, indent=1, ensure_ascii=False) + "\n")
    partial.rename(path)


def read(name: str) -> dict[str, Any] | None:
    """The kept numbers of a run; None if it has not run yet."""
    path = RESULTS / f"{name}.json"
    return json.loads(path.read_text()) if path.exists() else None
