"""Checks that PPO raises the rewards of held-out prompts: `make bench-ppo`.

Trains a reward model on the example pairs, then the demo's base with PPO and LoRA on the same
prompts. Before and after each step, the policy answers the held-out prompts, and the reward model
scores the answers. Each step is saved, and the policy is the last one whose KL divergence is within
6 nats: seeds differ in how many steps they need. Prints a line a seed, writes the figures, and
exits with 1 if the mean does not rise by a standard deviation of the base's rewards, or if a run
takes more than 20 minutes on two cores.
"""

import argparse
import json
import math
import os
import subprocess
import sys
import tempfile
import time
from dataclasses import asdict, dataclass
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

from bench.base import demo_model
from bench.separation import accepted
from orpo.contract import rundir
from orpo.contract.methods import parse_method
from orpo.contract.numbers import Phase, Series, share
from orpo.contract.rundir import METRICS, Split
from orpo.contract.spec import RunSpec, write_spec

ROOT = Path(__file__).resolve().parents[1]
RESULTS = ROOT / "bench" / "results"
TRAIN, HELD_OUT = (
    ROOT / "examples" / name for name in ("short-answers.jsonl", "short-answers.held-out.jsonl")
)
JUDGE: dict[str, Any] = {
    "max_length": 512, "n_epochs": 1, "batch_size": 4, "learning_rate": 4e-4, "max_held_out": 64,
    "checkpoint_every": 1000, "eval_every": 1000,
}  # fmt: skip
# The answers are short, so the reward at their end is not discounted for earlier tokens. Two
# processes share the prompts, one for each core.
POLICY: dict[str, Any] = {
    "reward_model": "judge", "max_length": 512, "max_steps": 8, "batch_size": 32,
    "minibatch_size": 8, "ppo_epochs": 2, "learning_rate": 5e-4, "schedule": "constant",
    "warmup_ratio": 0, "gamma": 1.0, "gae_lambda": 1.0, "kl_weight": 0.25, "max_new_tokens": 56,
    "max_held_out": 44, "eval_every": 1, "checkpoint_every": 1, "n_samples": 0,
    "strategy": "ddp", "processes": 2,
}  # fmt: skip
KL_AT_MOST, SECONDS_AT_MOST = 6.0, 20 * 60.0
Z_95 = 1.959963984540054


@dataclass(frozen=True)
class Outcome:
    """The held-out rewards of the base and of the policy that was tuned with one seed."""

    seed: int
    step: int
    prompts: int
    before: float
    before_sd: float
    after: float
    after_sd: float
    kl: float
    seconds: float
    shares: dict[str, float]

    @property
    def gain(self) -> float:
        """How much the mean has risen, in standard deviations of the base's rewards."""
        return (self.after - self.before) / self.before_sd

    @property
    def interval(self) -> tuple[float, float]:
        """The 95 % interval of the gain, for independent answers."""
        error = math.sqrt((self.before_sd**2 + self.after_sd**2) / self.prompts) / self.before_sd
        return self.gain - Z_95 * error, self.gain + Z_95 * error

    def missed(self) -> list[str]:
        """The targets that were missed."""
        targets = {
            "the whole interval is above one sd": self.interval[0] >= 1,
            "the run takes at most 20 minutes": self.seconds <= SECONDS_AT_MOST,
        }
        return [name for name, is_met in targets.items() if not is_met]

    def __str__(self) -> str:
        low, high = self.interval
        shares = ", ".join(f"{name} {value:.0%}" for name, value in self.shares.items())
        return (
            f"seed {self.seed}: reward {self.before:.2f} (sd {self.before_sd:.2f}) -> "
            f"{self.after:.2f} (sd {self.after_sd:.2f}) on {self.prompts} prompts, a gain of "
            f"{self.gain:.2f} sd ({low:.2f} to {high:.2f}), KL {self.kl:.2f} nats "
            f"at step {self.step}, "
            f"{self.seconds / 60:.1f} minutes ({shares})"
        )


def run(folder: Path, spec: RunSpec) -> float:
    """Train in a process of its own, as the product does; return its seconds."""
    write_spec(spec, folder)
    began = time.monotonic()
    with (folder / rundir.log()).open("w") as log:
        ranks = str(spec.method.processes)
        command = [sys.executable, "-m", "orpo.ranks", ranks, "train", str(folder)]
        subprocess.run(command, cwd=ROOT, stdout=log, stderr=log, check=True)
    return time.monotonic() - began


def spec_of(folder: Path, kind: str, settings: dict[str, Any], model: Path, **more: Any) -> RunSpec:
    """The spec of a run on the example pairs."""
    return RunSpec(
        job_id=kind,
        base_model=model.name,
        base_model_path=model,
        train_path=accepted(TRAIN, folder),
        held_out_path=accepted(HELD_OUT, folder),
        method=parse_method(kind, settings),
        **more,
    )


def judge(folder: Path, model: Path) -> Path:
    """Train the reward model, unless it is there; return its checkpoint."""
    run_dir = folder / "judge"
    if not (run_dir / rundir.CHECKPOINTS).is_dir():
        seconds = run(run_dir, spec_of(folder, "reward", JUDGE, model))
        accuracy = series(run_dir, Split.HELD_OUT)[-1]["accuracy"]
        print(f"reward model: held-out accuracy {accuracy:.1%} after {seconds / 60:.1f} minutes")
    return rundir.checkpoints(run_dir)[-1]


def series(run_dir: Path, split: Split) -> list[dict[str, float]]:
    """The values of each step."""
    records = map(json.loads, (run_dir / METRICS).read_text().splitlines())
    return [record["values"] for record in records if record["split"] == split]


def tune(folder: Path, settings: dict[str, Any], **of_spec: Any) -> Outcome:
    """Train the base with PPO once."""
    seed = of_spec["seed"]
    run_dir = folder / f"ppo-{seed}"
    spec = spec_of(folder, "ppo", settings, **of_spec)
    seconds = run(run_dir, spec)
    held_out, steps = series(run_dir, Split.HELD_OUT), series(run_dir, Split.TRAIN)
    first = held_out[0]
    within = [each for each in held_out if each[Series.KL] <= KL_AT_MOST]
    last = within[-1]
    phases = (Phase.GENERATION, Phase.SCORING, Phase.UPDATE)
    shares = {str(p): sum(step[share(p)] for step in steps) / len(steps) for p in phases}
    return Outcome(
        seed=seed,
        step=held_out.index(last),
        prompts=min(settings["max_held_out"], len(HELD_OUT.read_text().splitlines())),
        before=first[Series.REWARD_MEAN],
        before_sd=first[Series.REWARD_SD],
        after=last[Series.REWARD_MEAN],
        after_sd=last[Series.REWARD_SD],
        kl=last[Series.KL],
        seconds=seconds,
        shares=shares,
    )


def main() -> int:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--seeds", type=int, nargs="+", default=[0, 1, 2])
    parser.add_argument("--model", type=Path, help="by default the demo's base")
    parser.add_argument("--folder", type=Path, help="keep the runs here; a reward model is reused")
    parser.add_argument("--threads", type=int, help="by default one a core")
    parser.add_argument("--set", dest="settings", nargs="*", default=[], help="as max_steps=8")
    given = parser.parse_args()
    model = (given.model or demo_model()).resolve()
    changed = {
        name: json.loads(value) for name, _, value in (s.partition("=") for s in given.settings)
    }
    settings = POLICY | changed
    os.environ.setdefault("GOMP_SPINCOUNT", "10000")  # as the product sets it
    outcomes: list[Outcome] = []
    with tempfile.TemporaryDirectory() as temporary:
        folder = (given.folder or Path(temporary)).absolute()
        folder.mkdir(parents=True, exist_ok=True)
        reward = judge(folder, model)
        for seed in given.seeds:
            of_spec = {"model": model, "reward_path": reward, "threads": given.threads}
            outcomes.append(tune(folder, settings, seed=seed, **of_spec))
            print(outcomes[-1], flush=True)
    path = RESULTS / f"{datetime.now(UTC):%Y-%m-%d}-ppo.json"
    found = {"model": model.name, "judge": JUDGE, "policy": settings}
    runs = [asdict(each) | {"gain": each.gain, "interval": each.interval} for each in outcomes]
    path.write_text(json.dumps(found | {"runs": runs}, indent=1) + "\n")
    print(f"Written to {path.relative_to(ROOT)}.")
    missed = {target for each in outcomes for target in each.missed()}
    for target in sorted(missed):
        print(f"It does not hold that {target}.", file=sys.stderr)
    return 1 if missed else 0


if __name__ == "__main__":
    sys.exit(main())
