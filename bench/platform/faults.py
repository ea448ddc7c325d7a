"""Rows 17 and 20 of the fault table: `python -m bench.platform.faults [crowd|flood|names]`.

Row 17 is a crowd of followers, some of which have stalled. Row 20 is a run that floods its metrics
while clients read. Prints one JSON object. Exits with 1 if a bound is missed, with one sentence for
each.
"""

import argparse
import asyncio
import json
import resource
import sys
import tempfile
import threading
import time
from collections import Counter
from concurrent.futures import ProcessPoolExecutor
from functools import partial
from multiprocessing import get_context
from pathlib import Path
from typing import Any

from bench.platform import rows
from bench.platform.stage import Side, Stage, stage
from orpo.contract.rundir import METRICS
from services.platform import database
from services.platform.database import transaction
from services.runs import job_events
from tests import load
from workers.supervision import TICK_S
from workers.tail import RunTail

P99_MS_AT_MOST = 1000
DROPPED_S_AT_MOST = 30
READS_P99_MS_AT_MOST = 500
GROWTH_MB_AT_MOST = 64
# Time to store the remaining metrics after the run has ended.
DRAINED_S_AT_MOST = 15
KINDS = ("crowd", "flood", "names")
# Events at the start of the stream: more than the smallest TCP window holds.
FIRST_EVENTS = 40


def crowd(on: Stage, clients: int = 10_000, stalled: int = 100) -> dict[str, float]:
    """`clients` followers get a step every 5 s, while `stalled` others do not read."""
    job_id = on.claimed_job()
    with transaction() as session:
        for number in range(FIRST_EVENTS):
            job_events.record(session, job_id, 1, message=f"Number {number}. " + 100 * "x")
    ask = load.request("GET", f"{rows.PATH}/{job_id}/stream", on.key)
    watch = Watch()
    with load.stalled(on.url(Side.OURS), ask, stalled) as sockets:
        watch.begin(sockets)
        figures = rows.follow_job(on, Side.OURS, job_id, clients, every_s=5, rounds=8)
        watch.join()
    return figures | {"dropped_s": watch.took_s}


class Watch(threading.Thread):
    """Measures how long the server keeps the last of the stalled clients."""

    def begin(self, sockets: list[Any]) -> None:
        self.sockets, self.took_s = sockets, float("inf")
        self.start()

    def run(self) -> None:
        began_at = time.monotonic()
        while (passed_s := time.monotonic() - began_at) < 2 * DROPPED_S_AT_MOST:
            if load.still_held(self.sockets) == 0:
                self.took_s = passed_s
                return
            time.sleep(2)


def flood(
    on: Stage, names: int = 100, seconds: float = 40, points_per_s: int = 100_000
) -> dict[str, Any]:
    """Read a job and its series while its run writes far more numbers than can be stored."""
    job_id = on.claimed_job()
    run_dir = on.folder / job_id
    run_dir.mkdir()
    # Forked, so that a guard that a test took out here is missing in those processes too.
    forked = get_context("fork")
    with ProcessPoolExecutor(2, mp_context=forked, initializer=forget_connections) as processes:
        path = run_dir / METRICS
        written = processes.submit(load.flood, path, seconds, points_per_s, names)
        stored = processes.submit(follow_run, run_dir, job_id, seconds)
        time.sleep(3)
        job = f"{rows.PATH}/{job_id}"
        keys = ",".join(f"train:name/{number}" for number in range(4))
        paths = {"job": job, "series": f"{job}/series?keys={keys}", "events": f"{job}/events"}
        reads = asyncio.run(read(on, paths, seconds - 6))
        return {"written": written.result(), "reads": reads, "tail": stored.result()}


def forget_connections() -> None:
    """Make a forked process open its own connections and leave its parent's open."""
    database.engine().dispose(close=False)


async def read(on: Stage, paths: dict[str, str], seconds: float) -> dict[str, Any]:
    """Figures of each path; two connections per path read at the same time."""
    questions = {name: load.request("GET", path, on.key) for name, path in paths.items()}
    url = on.url(Side.OURS)
    loops = [
        load.ask_all(url, lambda q=question: q, connections=2, seconds=seconds)
        for question in questions.values()
    ]
    answers = await asyncio.gather(*loops)
    statuses = sum((each.statuses for each in answers), Counter())
    if set(statuses) != {"200"}:
        raise RuntimeError(f"The reads were answered {dict(statuses)}.")
    return {name: each.figures() for name, each in zip(paths, answers, strict=True)}


def follow_run(run_dir: Path, job_id: str, seconds: float) -> dict[str, Any]:
    """Store what the run writes as its worker does; return losses, time and memory."""
    tail, began_at = RunTail(run_dir, job_id, 1), time.monotonic()
    tail.flush()
    before_bytes = rows.peak_bytes()
    while time.monotonic() - began_at < seconds + 1:
        tail.flush()
        time.sleep(TICK_S)
    ended_at = time.monotonic()
    tail.drain()
    return {
        "left_out": dict(tail.left_out),
        "drain_s": time.monotonic() - ended_at,
        "growth_mb": (rows.peak_bytes() - before_bytes) / 1e6,
    }


def misses(found: dict[str, Any]) -> list[str]:
    """The bounds that do not hold, each as a sentence."""
    said = []
    if of := found.get("crowd"):
        if of["p99_ms"] > P99_MS_AT_MOST or of["missing"]:
            said.append(f"A crowd heard late: p99 {of['p99_ms']:.0f} ms, {of['missing']} missing.")
        if of["dropped_s"] > DROPPED_S_AT_MOST:
            said.append(f"Stalled clients were held for more than {DROPPED_S_AT_MOST} s.")
    for kind in ("flood", "names"):
        said += [f"{kind}: {sentence}" for sentence in flood_misses(found.get(kind))]
    return said


def flood_misses(of: dict[str, Any] | None) -> list[str]:
    if of is None:
        return []
    said = [
        f"reads of {name} took {read['p99_ms']:.0f} ms at the p99."
        for name, read in of["reads"].items()
        if read["p99_ms"] > READS_P99_MS_AT_MOST
    ]
    if of["tail"]["drain_s"] > DRAINED_S_AT_MOST:
        said.append(f"the last was stored {of['tail']['drain_s']:.0f} s after the end.")
    if of["tail"]["growth_mb"] > GROWTH_MB_AT_MOST:
        said.append(f"the worker grew by {of['tail']['growth_mb']:.0f} MB.")
    if not of["tail"]["left_out"]:
        said.append("nothing is said to be left out.")
    return said


def main() -> int:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("kinds", nargs="*", choices=KINDS, default=list(KINDS))
    parser.add_argument("--clients", type=int, default=10_000, help="of the crowd")
    given = parser.parse_args()
    kinds = {
        "crowd": partial(crowd, clients=given.clients),
        "flood": flood,
        "names": partial(flood, names=10_000),
    }
    most = resource.getrlimit(resource.RLIMIT_NOFILE)[1]
    resource.setrlimit(resource.RLIMIT_NOFILE, (most, most))
    with tempfile.TemporaryDirectory() as folder, stage(Path(folder)) as on:
        found = {name: kinds[name](on) for name in given.kinds}
    print(json.dumps(found, indent=1))
    for sentence in misses(found):
        print(sentence, file=sys.stderr)
    return 1 if misses(found) else 0


if __name__ == "__main__":
    sys.exit(main())
