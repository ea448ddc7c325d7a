"""Which share of planted swaps a deep audit puts first, and what limits it.

`python -m bench.deep_audit [FILE...] [--set n_epochs=1]` swaps a tenth of each file's pairs, audits
them with the demo's base model, and prints for several judges which share of their first k pairs
was planted, where k is the number of planted ones. Without files: the example pairs, which must
reach the target, and those of the shared folder. Takes minutes; needs no server.
"""

import argparse
import json
import os
import random
import shutil
import subprocess
import sys
import time
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from statistics import NormalDist
from tempfile import TemporaryDirectory
from typing import Any

import numpy as np
from numpy.typing import NDArray

from bench.base import ROOT, demo_model
from orpo.contract.deep_audit import HYPERPARAMETERS, METHOD
from orpo.contract.methods import parse_method
from orpo.contract.rundir import DEEP_AUDIT, DEEP_AUDIT_PAIRS, EVENTS, PARTS, TRAIN_ROWS
from orpo.contract.spec import RunSpec, write_spec
from orpo.rows.formats import validate

EXAMPLES = ROOT / "examples" / "short-answers.jsonl"
SHARED = Path(os.environ.get("ODDSMITH_SHARED", ROOT.parent / "shared")) / "data"
PLANTED = 0.1
TARGET = 0.8
SEED = 1
NORMAL = NormalDist()


@dataclass(frozen=True)
class Planted:
    """A file's accepted rows with the answers of some lines swapped."""

    path: Path
    lines: frozenset[int]
    n_pairs: int


def plant(source: Path, folder: Path, seed: int) -> Planted:
    """Write the accepted rows of a file with a tenth of them swapped."""
    path = folder / TRAIN_ROWS
    validate(source, source.name, path)
    rows = [json.loads(line) for line in path.read_text().splitlines()]
    rows = [row for row in rows if row["rejected"]]
    drawn = random.Random(seed).sample(rows, max(1, round(PLANTED * len(rows))))
    for row in drawn:
        row["chosen"], row["rejected"] = row["rejected"], row["chosen"]
    path.write_text("".join(f"{json.dumps(row)}\n" for row in rows))
    return Planted(path, frozenset(row["line"] for row in drawn), len(rows))


def audit(planted: Planted, base: Path, settings: dict[str, Any]) -> Path:
    """Audit the rows in a process of its own; returns the run directory."""
    method = parse_method(METHOD, {**HYPERPARAMETERS, **settings})
    run_dir = planted.path.parent / "g1"
    spec = RunSpec(
        job_id="bench",
        base_model=base.name,
        base_model_path=base,
        train_path=planted.path,
        method=method,
        seed=0,
    )
    write_spec(spec, run_dir)
    command = [sys.executable, "-m", "orpo.deep_audit", str(run_dir)]
    done = subprocess.run(command, cwd=ROOT, check=False)
    if done.returncode:
        sys.exit((run_dir / EVENTS).read_text().splitlines()[-1])
    return run_dir


def at_k(scores: dict[int, float], planted: frozenset[int]) -> float:
    """The share of planted lines among the k lowest scores."""
    first = sorted(scores, key=lambda line: scores[line])[: len(planted)]
    return len(planted & set(first)) / len(planted)


def bound(accuracy: float) -> float:
    """The share that a judge of this accuracy can expect, if its margins are normal.

    Margins of right choices are then N(m, 1) with accuracy = Phi(m), and those of swapped ones
    N(-m, 1). The threshold t leaves a share of `PLANTED` pairs below it.
    """
    m = NORMAL.inv_cdf(min(0.9999, max(0.5001, accuracy)))
    low, high = -20.0, 20.0
    for _ in range(100):
        t = (low + high) / 2
        below = PLANTED * NORMAL.cdf(t + m) + (1 - PLANTED) * NORMAL.cdf(t - m)
        low, high = (t, high) if below < PLANTED else (low, t)
    return NORMAL.cdf(low + m)


def judges(run_dir: Path) -> Iterator[tuple[str, dict[int, float]]]:
    """The score of each line by each judge; low is suspicious."""
    pairs = [json.loads(line) for line in (run_dir / DEEP_AUDIT_PAIRS).read_text().splitlines()]
    yield "the base's log odds", {pair["line"]: pair["base_log_odds"] for pair in pairs}
    by_place = {pair["place"]: pair["line"] for pair in pairs}
    ordered = [by_place[place] for place in sorted(by_place)]
    for name, title in (("gain", "the adapters' gain"), ("log_odds", "the adapters' log odds")):
        yield title, dict(zip(ordered, _mean(run_dir, name, len(pairs)).tolist(), strict=True))
    yield "all together", {pair["line"]: pair["judged_log_odds"] for pair in pairs}


def _mean(run_dir: Path, name: str, n_pairs: int) -> NDArray[np.float64]:
    """The mean of a number of each pair over the rounds."""
    total, counts = np.zeros(n_pairs), np.zeros(n_pairs)
    for path in (run_dir / PARTS).glob("round-*.npz"):
        part = np.load(path)
        total[part["places"]] += part[name]
        counts[part["places"]] += 1
    return total / counts


def report(source: Path, folder: Path, settings: dict[str, Any]) -> float:
    """Audit one file, print its figures, and return what the whole judge reaches."""
    planted = plant(source, folder, SEED)
    began = time.monotonic()
    run_dir = audit(planted, demo_model(), settings)
    took_s = time.monotonic() - began
    summary = json.loads((run_dir / DEEP_AUDIT).read_text())
    print(f"{source.name}: {planted.n_pairs} pairs, {len(planted.lines)} planted, {took_s:.0f} s")
    reached = 0.0
    for title, scores in judges(run_dir):
        kept = [score for line, score in scores.items() if line not in planted.lines]
        accuracy = sum(score > 0 for score in kept) / len(kept)
        reached = at_k(scores, planted.lines)
        print(
            f"  {title:24s} planted among the first k {reached:6.1%}   "
            f"shares {accuracy:6.1%} of the other choices: {bound(accuracy):6.1%} to be expected"
        )
    noise = summary["noise_share"]
    print(f"  noise {noise['share']:.1%} ({noise['low']:.1%} to {noise['high']:.1%})", flush=True)
    return reached


def main() -> int:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("files", nargs="*", type=Path)
    parser.add_argument("--set", action="append", default=[], metavar="NAME=VALUE")
    parser.add_argument("--keep", type=Path, help="Keep the runs in this folder.")
    options = parser.parse_args()
    settings = {
        name: json.loads(value) for name, _, value in (s.partition("=") for s in options.set)
    }
    files = options.files or [EXAMPLES, *sorted(SHARED.glob("*.jsonl"))]
    missed = False
    with TemporaryDirectory() as temporary:
        for source in files:
            folder = (options.keep or Path(temporary)) / source.stem
            shutil.rmtree(folder, ignore_errors=True)
            folder.mkdir(parents=True)
            reached = report(source, folder, settings)
            missed |= source == EXAMPLES and reached < TARGET
    return int(missed)


if __name__ == "__main__":
    sys.exit(main())
