"""Checks that tuning on chosen answers raises rejected ones too, and that ORPO separates them.

`make bench-separation`: Figure 3 against Figure 7 of arXiv 2403.07691, at small scale. One base is
tuned twice on the same pairs, `supervised` and `orpo`, and held-out pairs are measured during the
runs. Prints a table, writes the figures, and exits with 1 if the claim does not hold.
"""

import argparse
import json
import os
import subprocess
import sys
import tempfile
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

from bench.base import demo_model
from orpo.contract import rundir
from orpo.contract.methods import parse_method
from orpo.contract.numbers import Series
from orpo.contract.rundir import METRICS, Split
from orpo.contract.spec import RunSpec, write_spec
from orpo.rows.formats import validate

ROOT = Path(__file__).resolve().parents[1]
SHARED = Path(os.environ.get("ODDSMITH_SHARED", ROOT.parent / "shared"))
RESULTS = ROOT / "bench" / "results"
# Training file, held-out file (None: a part of the first is held out), maximum length.
DATA: dict[str, tuple[Path, Path | None, int]] = {
    "examples": (
        ROOT / "examples" / "short-answers.jsonl",
        ROOT / "examples" / "short-answers.held-out.jsonl",
        512,
    ),
    # Ranked by people: both answers of a pair are of the same kind, as in the paper.
    "oasst": (SHARED / "data" / "oasst_pairs.jsonl", None, 384),
}
COMMON: dict[str, Any] = {
    "learning_rate": 4e-4, "schedule": "constant", "batch_size": 4, "max_steps": 20,
    "eval_every": 5, "checkpoint_every": 20, "max_held_out": 12, "held_out_fraction": 0.3,
    "n_samples": 0,
}  # fmt: skip
METHODS: dict[str, dict[str, Any]] = {"supervised": {}, "orpo": {"lambda": 0.5}}
SERIES = (
    Series.LOGPS_CHOSEN, Series.LOGPS_REJECTED, Series.LOG_ODDS_RATIO, Series.ACCURACY,
)  # fmt: skip

Curve = dict[int, dict[str, float]]


def tune(kind: str, data: str, folder: Path, model: Path, seed: int) -> Curve:
    """Train once, as the product does; return the held-out figures by step."""
    train, held_out, max_length = DATA[data]
    method = parse_method(kind, {**COMMON, **METHODS[kind], "max_length": max_length})
    spec = RunSpec(
        job_id=kind,
        base_model=model.name,
        base_model_path=model,
        train_path=accepted(train, folder),
        held_out_path=held_out and accepted(held_out, folder),
        method=method,
        seed=seed,
    )
    run_dir = folder / kind
    write_spec(spec, run_dir)
    with (run_dir / rundir.log()).open("w") as log:
        command = [sys.executable, "-m", "orpo.train", str(run_dir)]
        subprocess.run(command, cwd=ROOT, stdout=log, stderr=log, check=True)
    records = map(json.loads, (run_dir / METRICS).read_text().splitlines())
    return {
        record["step"]: {name: record["values"][name] for name in SERIES}
        for record in records
        if record["split"] == Split.HELD_OUT
    }


def accepted(source: Path, folder: Path) -> Path:
    """Validate a file; return the path of its pairs in their normal form."""
    target = folder / source.name
    validate(source, source.name, target)
    return target


def table(curves: dict[str, Curve]) -> str:
    """A Markdown table: one row per evaluation, four columns per method."""
    columns = ("chosen", "rejected", "log odds ratio", "accuracy")
    header = ["step", *(f"{kind}: {column}" for kind in curves for column in columns)]
    rows = ["| " + " | ".join(header) + " |", "|" + " --- |" * len(header)]
    for step in next(iter(curves.values())):
        cells = [str(step)]
        for curve in curves.values():
            *logs, accuracy = (curve[step][name] for name in SERIES)
            cells += [*(f"{value:+.2f}" for value in logs), f"{accuracy:.0%}"]
        rows.append("| " + " | ".join(cells) + " |")
    return "\n".join(rows)


def missed(curves: dict[str, Curve]) -> list[str]:
    """The parts of the claim that do not hold for these curves."""
    ends = {kind: (curve[min(curve)], curve[max(curve)]) for kind, curve in curves.items()}
    rise = {
        kind: {name: last[name] - first[name] for name in SERIES}
        for kind, (first, last) in ends.items()
    }
    claims = {
        "supervised raises the chosen answers": rise["supervised"][Series.LOGPS_CHOSEN] > 0,
        "supervised raises the rejected answers too": rise["supervised"][Series.LOGPS_REJECTED] > 0,
        "orpo raises the chosen answers": rise["orpo"][Series.LOGPS_CHOSEN] > 0,
        "orpo leaves the rejected answers below supervised": (
            ends["orpo"][1][Series.LOGPS_REJECTED] < ends["supervised"][1][Series.LOGPS_REJECTED]
        ),
        "orpo parts the two further than supervised": (
            rise["orpo"][Series.LOG_ODDS_RATIO] > rise["supervised"][Series.LOG_ODDS_RATIO]
        ),
    }
    return [claim for claim, holds in claims.items() if not holds]


def main() -> int:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--data", choices=DATA, default="oasst")
    parser.add_argument("--model", type=Path, help="by default the demo's base")
    parser.add_argument("--seed", type=int, default=0)
    given = parser.parse_args()
    if not DATA[given.data][0].exists():
        name = DATA[given.data][0].name
        sys.exit(f"{name} is not on this machine. `--data examples` takes our own pairs.")
    model = (given.model or demo_model()).resolve()
    os.environ.setdefault("GOMP_SPINCOUNT", "10000")  # as the product sets it
    with tempfile.TemporaryDirectory() as folder:
        curves = {kind: tune(kind, given.data, Path(folder), model, given.seed) for kind in METHODS}
    print(table(curves))
    path = RESULTS / f"{datetime.now(UTC):%Y-%m-%d}-separation-{given.data}.json"
    about = {"model": model.name, "data": given.data, "seed": given.seed}
    settings = {kind: {**COMMON, **of} for kind, of in METHODS.items()}
    found = {**about, "hyperparameters": settings, "held_out": curves}
    path.write_text(json.dumps(found, indent=1) + "\n")
    print(f"Written to {path.relative_to(ROOT)}.")
    for claim in missed(curves):
        print(f"It does not hold that {claim}.", file=sys.stderr)
    return 1 if missed(curves) else 0


if __name__ == "__main__":
    sys.exit(main())
