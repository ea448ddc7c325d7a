"""Train a `Work` with our engine: `python -m bench.train.ours WORK.json`. Prints one JSON line.

Spec, run and steps are the product's; only the order of the pairs is fixed.
"""

import json
import sys
import tempfile
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from bench.train.work import Work
from orpo.contract.methods import parse_method
from orpo.contract.numbers import Series
from orpo.contract.rundir import METRICS, STORE, TRAIN_ROWS
from orpo.contract.spec import RunSpec
from orpo.layers import backends
from orpo.process import parallel
from orpo.process.stopping import Stopping
from orpo.run.journal import Journal
from orpo.run.train import Run


@contextmanager
def begun(work: Work) -> Iterator[Run]:
    """Yield a run before its first step; its files are removed afterwards."""
    method = parse_method(
        "orpo",
        {
            "lambda": work.lambda_, "tuning": work.tuning, "lora_rank": work.rank,
            "lora_alpha": work.alpha, "learning_rate": work.learning_rate, "warmup_ratio": 0,
            "schedule": "constant", "batch_size": work.pairs_a_step, "max_steps": work.steps,
            "max_length": work.max_length, "nll_tokens": "full", "held_out_fraction": 0,
            "n_samples": 0, "token_budget": work.token_budget,
        },
    )  # fmt: skip
    with tempfile.TemporaryDirectory() as folder:
        run_dir = Path(folder)
        data = run_dir / TRAIN_ROWS
        data.write_text("".join(json.dumps(row) + "\n" for row in work.rows()))
        spec = RunSpec(
            job_id="bench",
            base_model="bench",
            base_model_path=Path(work.model),
            train_path=data,
            method=method,
        )
        with Journal(run_dir) as journal:
            run = Run(spec, run_dir, parallel.start(method, run_dir / STORE), journal, Stopping())
            every = range(work.steps * work.pairs_a_step)
            assert len(run.data.train.examples) == len(every), "a pair does not fit"
            steps = [list(every[at : at + work.pairs_a_step]) for at in every[:: work.pairs_a_step]]
            run.plan = lambda _: steps  # pyright: ignore[reportAttributeAccessIssue]  cached or not
            yield run


def main(path: Path) -> None:
    work = Work.read(path)
    with begun(work) as run:
        while run.progress.step < run.steps:
            run.step()
        lines = (run.run_dir / METRICS).read_text().splitlines()
        examples = run.data.train.examples[work.warmup * work.pairs_a_step :]
        tokens = sum(example.n_tokens for example in examples)
    values = [json.loads(line)["values"] for line in lines]
    print(
        json.dumps(
            {
                "seconds": [value[Series.STEP_S] for value in values[work.warmup :]],
                "loss": [value[Series.LOSS] for value in values],
                "nll": [value[Series.LOSS_NLL] for value in values],
                "peak_bytes": values[-1][Series.MEM_PEAK_BYTES],
                "tokens": tokens,
                "parameters": run.weights.total,
                "trained": run.weights.trained,
                "attention": sorted({backend.name for backend in backends.chosen.values()}),
            }
        )
    )


if __name__ == "__main__":
    main(Path(sys.argv[1]))
