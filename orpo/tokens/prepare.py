"""`python -m orpo.prepare RUN_DIR`: finds what a run would train on, without using a device.

Tokenises under the spec, writes `prepared.json` beside it and prints the same JSON. Meanwhile
`progress.json` beside them holds the number of tokenised pairs and of all pairs. `rendered.json`
keeps the tokens of the first training pairs as evidence. Loads no weights.
"""

import json
import math
import os
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np
from numpy.typing import NDArray

from orpo.contract.rundir import PREPARED, PROGRESS, RENDERED, Split
from orpo.contract.spec import RunSpec, read_spec
from orpo.process.verbs import answer
from orpo.rows.rows import count_lines
from orpo.tokens import cache, data, embedded
from orpo.tokens.same_tokenizer import check_reward_model
from orpo.tokens.show import shown
from orpo.tokens.templates import load_tokenizer

LARGE_BYTES = 4_000_000  # for fewer pairs, one process is done before others have started
TELL_EVERY_S = 0.5
EVIDENCE = 3  # pairs in `rendered.json`


class Prepared(NamedTuple):
    """What a run would train on: counts and lengths, and its first pairs as `shown`."""

    counts: dict[str, Any]
    rendered: list[dict[str, Any]]


def prepare(spec: RunSpec, tell: Callable[[int], None] | None = None) -> Prepared:
    """Counts, lengths in tokens and steps; raises Failure when nothing is left to train.

    Calls `tell` with the number of newly tokenised pairs.
    """
    cache.prune(spec)
    large = spec.train_path.exists() and spec.train_path.stat().st_size > LARGE_BYTES
    processes = len(os.sched_getaffinity(0)) if large else 1
    tokenizer = load_tokenizer(spec.base_model_path)
    check_reward_model(spec, tokenizer)
    loaded = data.load(spec, tokenizer, processes, tell)
    steps, per_epoch = data.steps(len(loaded.train.examples), spec.method)
    method = spec.method.model_copy(update={"max_length": loaded.max_length})
    n_embedded = embedded.size(spec.base_model_path)
    first = loaded.train.first(EVIDENCE)
    rendered = [shown(pair, tokenizer, method, n_embedded) for pair in first]
    counts = {
        Split.TRAIN: describe(loaded.train),
        Split.HELD_OUT: describe(loaded.held_out),
        "steps": steps,
        "steps_per_epoch": per_epoch,
        "max_length": loaded.max_length,
    }
    return Prepared(counts, rendered)


def describe(part: data.Part) -> dict[str, Any]:
    """One side of the split: remaining pairs, dropped pairs by reason, and sizes in tokens.

    `tokens` counts a prompt once for both answers, `tokens_unshared` twice; `length` is the length
    of a row's longer sequence.
    """
    lengths = np.sort(part.examples.longest_E())
    return {
        "pairs": len(part.examples),
        "dropped": dict(part.dropped),
        **part.stats,
        "length": {"p50": rank(lengths, 0.5), "p95": rank(lengths, 0.95), "max": rank(lengths, 1)},
    }


def rank(ordered: NDArray[np.int64], share: float) -> int:
    """The nearest-rank quantile of ordered numbers; 0 if there are none."""
    return int(ordered[max(0, math.ceil(share * len(ordered)) - 1)]) if len(ordered) else 0


@contextmanager
def progress(path: Path, pairs: int) -> Iterator[Callable[[int], None]]:
    """Keep `{"tokenised", "pairs"}` in a file, written at most twice a second and deleted at the
    end. Yields the function to call with the number of newly tokenised pairs.
    """
    tokenised, printed_at = 0, time.monotonic()

    def tell(more: int) -> None:
        nonlocal tokenised, printed_at
        tokenised += more
        if time.monotonic() - printed_at >= TELL_EVERY_S:
            printed_at = time.monotonic()
            temporary = path.with_suffix(".tmp")
            temporary.write_text(json.dumps({"tokenised": tokenised, "pairs": pairs}))
            temporary.replace(path)

    try:
        yield tell
    finally:
        path.unlink(missing_ok=True)


def _rows(spec: RunSpec) -> int:
    """Rows of both sides together."""
    held_out = min(count_lines(spec.held_out_path), spec.method.max_held_out)
    return count_lines(spec.train_path) + held_out


def main(run_dir: Path) -> int:
    """Write and print the JSON; exits with status 2 if the spec or the rows can't be trained on."""

    def work() -> dict[str, Any]:
        spec = read_spec(run_dir)
        with progress(run_dir / PROGRESS, _rows(spec)) as tell:
            prepared = prepare(spec, tell)
        (run_dir / RENDERED).write_text(json.dumps(prepared.rendered) + "\n")
        (run_dir / PREPARED).write_text(json.dumps(prepared.counts) + "\n")
        return prepared.counts

    return answer(work)
