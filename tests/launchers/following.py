"""Start runs through the launcher of the settings, and follow them as a worker does."""

import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

import psutil

from orpo.contract import rundir
from orpo.contract.rundir import Split
from orpo.contract.spec import read_spec
from services.launchers import launchers
from services.launchers.launchers import Launched
from services.launchers.local import Node
from services.processes import process_tree
from tests.orpo import tiny_run

ENDLESS: dict[str, Any] = {"max_steps": 2_000, "n_epochs": 1_000, "eval_every": 2_000}


def start(run_dir: Path, name: str) -> Launched:
    return launchers.start(run_dir, read_spec(run_dir), verb="train", node=Node(), name=name)


def end_of(launched: Launched, within_s: float = 240) -> int:
    until = time.monotonic() + within_s
    while time.monotonic() < until:
        launched.renew()
        if (code := launched.poll()) is not None:
            return code
        time.sleep(0.2)
    raise TimeoutError(launched.waits_for or "it runs")


def wait_until(launched: Launched, condition: Callable[[], Any], within_s: float = 240) -> None:
    until = time.monotonic() + within_s
    while not condition():
        launched.renew()
        assert launched.poll() is None
        assert time.monotonic() < until, launched.waits_for
        time.sleep(0.1)


def ranks_of(run_dir: Path) -> list[psutil.Process]:
    return [*process_tree.find(str(run_dir)), *process_tree.find(f"{run_dir}#1")]


def last_event(run_dir: Path) -> str:
    return tiny_run.records(run_dir, "events")[-1]["type"]


def has_trained(run_dir: Path) -> bool:
    """Whether the run has made a step: its first numbers are of the evaluation before it."""
    if not (run_dir / rundir.METRICS).exists():
        return False
    return any(record["split"] == Split.TRAIN for record in tiny_run.records(run_dir, "metrics"))
