"""`python -m orpo.prepare RUN_DIR`: what a run would train on, found before a device is touched.

Tokenises under the spec, writes `prepared.json` beside it and prints the same. Loads no weights.
"""

import json
import math
import os
import shutil
import sys
from pathlib import Path
from typing import Any

from orpo import data
from orpo.spec import RunSpec, read_spec
from orpo.tokenize import load_tokenizer
from orpo.verbs import answer

LARGE_BYTES = 4_000_000  # below it, one process is done before others have started


def prepare(spec: RunSpec) -> dict[str, Any]:
    """Counts, lengths in tokens and steps; raises Failure when nothing is left to train."""
    for left_over in spec.train_path.parent.glob("tokens-*/*.tmp"):  # of one that was killed
        shutil.rmtree(left_over, ignore_errors=True)
    large = spec.train_path.exists() and spec.train_path.stat().st_size > LARGE_BYTES
    processes = len(os.sched_getaffinity(0)) if large else 1
    loaded = data.load(spec, load_tokenizer(spec.base_model_path), processes)
    steps, per_epoch = data.steps(len(loaded.train.examples), spec.method)
    return {
        "train": describe(loaded.train),
        "held_out": describe(loaded.held_out),
        "steps": steps,
        "steps_per_epoch": per_epoch,
        "max_length": loaded.max_length,
    }


def describe(part: data.Part) -> dict[str, Any]:
    """One side of the split: pairs that remain, why others do not, and sizes in tokens.

    `tokens` counts a prompt once for both answers, `tokens_unshared` twice; `length` is that of a
    row's longer sequence.
    """
    lengths = sorted(part.examples.longest_E().tolist())
    return {
        "pairs": len(part.examples),
        "dropped": dict(part.dropped),
        **part.stats,
        "length": {"p50": rank(lengths, 0.5), "p95": rank(lengths, 0.95), "max": rank(lengths, 1)},
    }


def rank(ordered: list[int], share: float) -> int:
    """The nearest-rank quantile of an ordered list; 0 of an empty one."""
    return ordered[max(0, math.ceil(share * len(ordered)) - 1)] if ordered else 0


def main(run_dir: Path) -> int:
    """Write and print the JSON; a spec or rows that can't be trained on end with status 2."""

    def work() -> dict[str, Any]:
        prepared = prepare(read_spec(run_dir))
        (run_dir / "prepared.json").write_text(json.dumps(prepared) + "\n")
        return prepared

    return answer(work)


if __name__ == "__main__":
    sys.exit(main(Path(sys.argv[1])))
