"""`python -m orpo.estimate RUN_DIR`: measures the time and memory of a run, on the machine where it
would run.

Makes three steps on the heaviest batches and one evaluation, as the run itself would. The results
are the data of the run's event `estimated`. Saves nothing. Knows the run, but no prices.
"""

import os
import time
from collections.abc import Sequence
from functools import partial
from itertools import chain
from pathlib import Path
from typing import Any

from orpo.contract.failures import STOPPED
from orpo.contract.rundir import Event
from orpo.model import policy
from orpo.run import speed, train
from orpo.run.train import Run
from orpo.tokens.pack import heaviest
from orpo.tokens.work import deal, token_budget

STEPS = 3  # the first warms caches; it is not counted


def estimate(run: Run, runtime_bytes: int = 0) -> int:
    """Measure, and log counts, `time` (seconds) and `memory` (bytes of one process) as an event.

    `runtime_bytes` is what the process held before it loaded anything. Runs out of memory if the
    run would, because the run begins with the same batches. Returns 0, or 75 if asked to stop.
    """
    run.announce()
    load_s = _age_s()
    longest, *fullest = heaviest(run.tokens_E, run.plan(0))
    probed = [longest, *fullest, longest, longest][:STEPS]
    run.plan = lambda _: probed  # pyright: ignore[reportAttributeAccessIssue]  cached or not
    steps_s: list[float] = []
    while len(steps_s) < STEPS:
        if run.group.any(run.stopping.requested):
            return run.end(Event.STOPPED, "Stopped on request; nothing was measured.", STOPPED)
        steps_s.append(_seconds(run.step))
    tokens = round(sum(run.tokens_E) * run.steps / run.steps_per_epoch)
    tokens_per_s = sum(run.tokens_E[at] for step in probed[1:] for at in step) / sum(steps_s[1:])
    train_s, evaluate_s = tokens / tokens_per_s, _evaluations(run) * _seconds(run.evaluate)
    run.journal.event(
        Event.ESTIMATED,
        "Measured three steps on the heaviest batches.",
        pairs=len(run.tokens_E),
        held_out_pairs=len(run.held_out),
        steps=run.steps,
        tokens=tokens,
        tokens_per_s=tokens_per_s,
        longest=max(run.tokens_E),
        token_budget=token_budget(run.method, run.group),
        parameters=run.weights.total,
        trainable_parameters=run.weights.trained,
        processes=run.group.world,
        device=speed.device(),
        time={
            "load_s": load_s,
            "train_s": train_s,
            "evaluate_s": evaluate_s,
            "total_s": load_s + train_s + evaluate_s,
        },
        memory=_memory(run, probed, runtime_bytes),
    )
    return run.end(Event.FINISHED, "The estimate is made.", 0)


def _evaluations(run: Run) -> int:
    """The number of evaluations: before the first step, at intervals, and after the last step."""
    return len({0, *range(0, run.steps, run.evaluate_every), run.steps})


def _memory(run: Run, probed: Sequence[list[int]], runtime_bytes: int) -> dict[str, int]:
    """The peak by use. Activations are what is neither held throughout nor the head's."""
    steps = ([run.data.train.examples[index] for index in step] for step in probed)
    works = (deal(step, run.method, run.group, rejected=run.method.contrasts) for step in steps)
    labelled = max((len(work.batch.target_L) for work in chain(*works)), default=0)
    parts = {
        "runtime_bytes": runtime_bytes,
        **{f"{part}_bytes": size for part, size in run.strategy.held_bytes().items()},
        "head_bytes": policy.head_bytes(run.policy, labelled, run.method.precision),
    }
    peak = speed.peak_bytes()
    parts["activations_bytes"] = max(0, peak - sum(parts.values()))
    return {**parts, "peak_bytes": peak}


def _seconds(work: Any) -> float:
    began = time.perf_counter()
    work()
    return time.perf_counter() - began


def _age_s() -> float:
    """Seconds since this process began: imports and loading are part of a run's time."""
    fields = Path("/proc/self/stat").read_text().rpartition(")")[2].split()
    born_s = int(fields[19]) / os.sysconf("SC_CLK_TCK")
    return time.clock_gettime(time.CLOCK_BOOTTIME) - born_s


def main(run_dir: Path) -> int:
    """Measure the run of a directory; results and errors are in its events. Returns the exit
    status.
    """
    return train.main(run_dir, partial(estimate, runtime_bytes=speed.peak_bytes()))
