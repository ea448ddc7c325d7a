"""Checks that a run begins soon on a Ray cluster: `make bench-launchers`.

Starts a tiny run of two processes on this machine and, alternating, on a warm Ray cluster of two
nodes here; prints the seconds from the start to the first step, split into their parts. Exits with
1 if the median under Ray is more than 15 s above the median of this machine.
"""

import argparse
import json
import os
import statistics
import sys
import tempfile
import time
from collections.abc import Callable
from dataclasses import asdict, dataclass
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

from orpo.contract import rundir
from orpo.contract.rundir import Event, Split
from orpo.contract.spec import read_spec
from services.launchers import launchers
from services.launchers.launchers import Launched
from services.launchers.local import Node
from services.platform.settings import get_settings
from tests.launchers.clusters import ray_cluster
from tests.orpo.tiny_run import Bench, records, write_base, write_pairs

RESULTS = Path(__file__).resolve().parent / "results"
MORE_AT_MOST_S = 15.0
TICK_S = 0.02


@dataclass(frozen=True)
class Begun:
    """Seconds from the start of a run: to the driver (Ray only), to the nodes' agents (Ray only),
    to the loaded ranks, and to the first step.
    """

    driver: float | None
    nodes: float | None
    ranks: float
    step: float


def begin(bench: Bench, launcher: str, name: str) -> Begun:
    """Start a run, and end it after its first step."""
    nodes = {"nodes": 2} if launcher == "ray" else {}
    settings: dict[str, Any] = {"strategy": "ddp", "processes": 2, "max_steps": 2000, **nodes}
    run = bench.spec(name, **settings, n_epochs=1000)
    os.environ["ODDSMITH_LAUNCHER"] = launcher
    get_settings.cache_clear()
    began, began_at = time.monotonic(), time.time()
    launched = launchers.start(run, read_spec(run), verb="train", node=Node(), name=name)
    on_ray = launcher == "ray"
    driver = _await(launched, (run / rundir.clock("driver")).exists, began) if on_ray else None
    nodes_s = _await(launched, (run / rundir.MEETING).exists, began) if on_ray else None
    _await(launched, lambda: _first_step(run) is not None, began)
    step_at = _first_step(run) or 0.0
    loaded_at = next(e["t"] for e in records(run, "events") if e["type"] == Event.STARTED)
    launched.kill()
    return Begun(driver, nodes_s, loaded_at - began_at, step_at - began_at)


def _first_step(run: Path) -> float | None:
    if not (run / rundir.METRICS).exists():
        return None
    trained = (r["t"] for r in records(run, "metrics") if r["split"] == Split.TRAIN)
    return next(trained, None)


def _await(launched: Launched, condition: Callable[[], bool], began: float) -> float:
    while not condition():
        launched.renew()
        if launched.poll() is not None:
            raise RuntimeError(launched.why or "the run has ended before its first step")
        time.sleep(TICK_S)
    return time.monotonic() - began


def main() -> int:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--rounds", type=int, default=5)
    rounds = parser.parse_args().rounds
    found: dict[str, list[Begun]] = {"local": [], "ray": []}
    with tempfile.TemporaryDirectory() as folder, ray_cluster() as cluster:
        place = Path(folder)
        for name, value in cluster.settings.items():
            os.environ[f"ODDSMITH_{name.upper()}"] = value
        bench = Bench(place, write_base(place / "tiny"), write_pairs(place / "pairs.jsonl", 12))
        begin(bench, "ray", "oddsmith-warm-g1")  # the cluster is warm after this
        for n in range(rounds):
            for launcher, begun in found.items():
                begun.append(begin(bench, launcher, f"oddsmith-{launcher}-g{n + 1}"))
                print(launcher, begun[-1], flush=True)
    medians = {name: statistics.median(b.step for b in begun) for name, begun in found.items()}
    more_s = medians["ray"] - medians["local"]
    print(f"first step after {medians['local']:.1f} s here and {medians['ray']:.1f} s under Ray: "
          f"{more_s:.1f} s more (at most {MORE_AT_MOST_S:.0f})")  # fmt: skip
    path = RESULTS / f"{datetime.now(UTC):%Y-%m-%d}-launchers.json"
    kept = {name: [asdict(each) for each in begun] for name, begun in found.items()}
    path.write_text(json.dumps(kept | {"more_s": more_s}, indent=1) + "\n")
    return 0 if more_s <= MORE_AT_MOST_S else 1


if __name__ == "__main__":
    sys.exit(main())
