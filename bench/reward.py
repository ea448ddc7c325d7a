"""A reward model on the example pairs: its held-out accuracy, and the time of a pair beside ORPO's.

`make bench-reward` trains the demo's base for 16 steps on the example pairs and measures the 44
held-out ones (at least 0.95 must be ranked as their authors did). Then it loads two runs on the
same pairs, `orpo` and `reward`, and lets them make their steps in turn; a pair of `reward` may take
1.1 times as long as one of `orpo`. Exits with 1 if one of the two does not hold.
"""

import argparse
import json
import os
import statistics
import sys
import tempfile
import time
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

from bench.base import ROOT, demo_model
from bench.machine import machine
from bench.separation import DATA, RESULTS, accepted
from orpo.contract.methods import METHODS, parse_method
from orpo.contract.numbers import Series
from orpo.contract.rundir import METRICS, STORE, Split
from orpo.contract.spec import RunSpec, write_spec
from orpo.process import parallel
from orpo.process.stopping import Stopping
from orpo.run import train
from orpo.run.journal import Journal
from orpo.run.train import Run

LEAST_ACCURACY, MOST_TIMES = 0.95, 1.1
TRAINED: dict[str, Any] = {"batch_size": 4, "learning_rate": 4e-4, "max_steps": 16}
WARM_UP = 2  # steps: they compile and fill caches
SERIES = (Series.LOSS, Series.ACCURACY, Series.ACCURACY_LOW, Series.REWARD_MARGIN)


def spec_of(
    kind: str, folder: Path, model: Path, threads: int | None = None, **settings: Any
) -> RunSpec:
    """A run on the example pairs; both methods get the same settings."""
    rows, held_out, max_length = DATA["examples"]
    known = {name: held for name, held in settings.items() if name not in METHODS[kind].unused}
    return RunSpec(
        job_id=kind,
        base_model=model.name,
        base_model_path=model,
        train_path=accepted(rows, folder),
        held_out_path=held_out and accepted(held_out, folder),
        method=parse_method(kind, {**TRAINED, **known, "max_length": max_length}),
        threads=threads,
    )


def accuracy(folder: Path, model: Path, threads: int | None) -> dict[int, dict[str, float]]:
    """Train a reward model; the held-out figures by step."""
    run_dir = folder / "accuracy"
    write_spec(spec_of("reward", folder, model, threads), run_dir)
    if status := train.main(run_dir):
        sys.exit(f"The run ended with status {status}.")
    records = map(json.loads, (run_dir / METRICS).read_text().splitlines())
    return {
        record["step"]: {name: record["values"][name] for name in SERIES}
        for record in records
        if record["split"] == Split.HELD_OUT
    }


def times(
    folder: Path, model: Path, tuning: str, steps: int, threads: int | None
) -> dict[str, list[float]]:
    """Seconds of each timed step of both runs, which make their steps in turn.

    With one thread they are the processor's own seconds, so that other work on the machine does not
    count.
    """
    clock = time.process_time if threads == 1 else time.perf_counter
    runs: dict[str, Run] = {}
    found: dict[str, list[float]] = {"orpo": [], "reward": []}
    settings = {"tuning": tuning, "n_epochs": 1, "max_steps": None, "n_samples": 0}
    for kind in found:
        spec = spec_of(kind, folder, model, threads, **settings)
        run_dir = folder / f"{tuning}-{kind}"
        group = parallel.start(spec.method, run_dir / STORE)
        runs[kind] = Run(spec, run_dir, group, Journal(run_dir), Stopping())
    for step in range(WARM_UP + steps):
        for kind in sorted(runs, reverse=bool(step % 2)):
            began = clock()
            runs[kind].step()
            if step >= WARM_UP:
                found[kind].append(clock() - began)
    return found


def main() -> int:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--steps", type=int, default=12, help="timed steps of each method")
    parser.add_argument("--tuning", nargs="*", default=["lora", "full"], help="lora, full or none")
    parser.add_argument("--threads", type=int, help="1 on a machine that others use, too")
    parser.add_argument("--no-accuracy", action="store_true", help="only the times")
    given = parser.parse_args()
    os.environ.setdefault("GOMP_SPINCOUNT", "10000")  # as the product sets it
    model, found = demo_model(), dict[str, Any]()
    print(machine())
    with tempfile.TemporaryDirectory() as name:
        for tuning in given.tuning:
            took = times(Path(name), model, tuning, given.steps, given.threads)
            medians = {
                kind: statistics.median(s) / TRAINED["batch_size"] for kind, s in took.items()
            }
            ratio = statistics.median(
                ours / theirs for ours, theirs in zip(took["reward"], took["orpo"], strict=True)
            )
            found[tuning] = {"seconds": took, "ratio": ratio}
            print(
                f"{tuning}: a pair takes {medians['reward']:.2f} s with reward and "
                f"{medians['orpo']:.2f} s with orpo: {ratio:.2f} times as long.",
                flush=True,
            )
        if not given.no_accuracy:
            found["held_out"] = accuracy(Path(name), model, given.threads)
            for step, values in found["held_out"].items():
                print(step, {str(series): round(value, 3) for series, value in values.items()})
    path = RESULTS / f"{datetime.now(UTC):%Y-%m-%d}-reward.json"
    path.write_text(json.dumps({"settings": TRAINED, **found}, indent=1) + "\n")
    print(f"Written to {path.relative_to(ROOT)}.")
    slow = [kind for kind in given.tuning if found[kind]["ratio"] > MOST_TIMES]
    last = [*found.get("held_out", {0: {Series.ACCURACY: 1.0}}).values()][-1]
    return 1 if slow or last[Series.ACCURACY] < LEAST_ACCURACY else 0


if __name__ == "__main__":
    sys.exit(main())
