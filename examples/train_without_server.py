"""Trains on a file of pairs with only the training core: no server, broker or database.

    .venv/bin/python examples/train_without_server.py MODEL_FOLDER PAIRS OUT lambda=0.2 n_epochs=2

`oddsmith train` does the same with a progress bar, a sandbox and `--resume`. The model's folder
holds safetensors and a tokenizer; checkpoints and journals are written to OUT, a new folder.
"""

import json
import sys
from collections.abc import Iterable
from pathlib import Path
from typing import Any

from orpo.contract.methods import Method, parse_method
from orpo.contract.rundir import TRAIN_ROWS
from orpo.contract.spec import RunSpec, write_spec
from orpo.rows.formats import validate
from orpo.run import train


def prepare(model: str, pairs: str, out: str, method: Method) -> RunSpec:
    """Check a file of pairs, write the accepted rows into `out`, and return the spec of a run."""
    folder = Path(out).absolute()
    folder.mkdir(parents=True)
    rows = folder / TRAIN_ROWS
    report = validate(Path(pairs), pairs, rows)
    print(f"{report.accepted} of {report.rows} pairs can be used; left out: {dict(report.dropped)}")
    return RunSpec(
        job_id=folder.name,
        base_model=Path(model).name,
        base_model_path=Path(model).absolute(),
        train_path=rows,
        method=method,
    )


def train_and_print(run: train.Run) -> int:
    """Train until the last step and print the last losses; returns the exit status."""
    status = run.train()
    numbers = {split: values["loss"] for split, values in run.latest.items()}
    print(f"step {run.progress.step}, loss {numbers}, checkpoint {run.saved}")
    return status


def read(settings: Iterable[str]) -> dict[str, Any]:
    """Split `n_epochs=2` into a name and a value: JSON, or text as in `precision=fp32`."""
    given: dict[str, Any] = {}
    for name, _, text in (setting.partition("=") for setting in settings):
        try:
            given[name] = json.loads(text)
        except ValueError:
            given[name] = text
    return given


def main(model: str, pairs: str, out: str, *settings: str) -> int:
    spec = prepare(model, pairs, out, parse_method("orpo", read(settings)))
    write_spec(spec, Path(out))
    return train.main(Path(out), train_and_print)


if __name__ == "__main__":
    sys.exit(main(*sys.argv[1:]) if len(sys.argv) > 3 else __doc__)
