"""`python -m services.launchers.ray_driver RUN_DIR VERB`: the driver of a run on a Ray cluster.

Ray runs this as a job on its head. It reserves one bundle a node, on as many machines, runs
`node.py` in each, and ends with the status of the run. Needs the package `ray`.
"""

import argparse
import sys
import time
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import ray
from ray.exceptions import RayError
from ray.util import get_node_ip_address, placement_group, remove_placement_group
from ray.util.scheduling_strategies import PlacementGroupSchedulingStrategy

from orpo.contract.failures import PAST_DEADLINE, STOPPED
from orpo.contract.rundir import WAITS
from orpo.contract.spec import read_spec
from services.launchers import node
from services.launchers.leases import Lease, replace

TICK_S = 1.0
# After one node has failed, the others have this long to report why they can't continue.
GRACE_S = 5.0


class Node:
    """One machine of the run: does what `node.py` does there, and returns its status."""

    def run(self, command: list[str]) -> int:
        devices = ",".join(str(index) for index in ray.get_gpu_ids())
        where = [f"--address={get_node_ip_address()}", f"--devices={devices}"]
        return node.main([*command, *where])


def main(arguments: Sequence[str] | None = None) -> int:
    """Return the status of the first node that failed, 75 if the run was stopped, else 0."""
    parser = argparse.ArgumentParser(prog="services.launchers.ray_driver", description=__doc__)
    parser.add_argument("run_dir", type=Path)
    parser.add_argument("verb")
    parser.add_argument("--device", choices=("cpu", "gpu"), default="gpu")
    options = parser.parse_args(arguments)
    method = read_spec(options.run_dir).method
    each = method.processes // method.nodes
    bundle = {"CPU": float(each)} | ({"GPU": float(each)} if options.device == "gpu" else {})
    lease = Lease(options.run_dir, "driver")
    ray.init(address="auto", log_to_driver=True)
    group = placement_group([bundle] * method.nodes, strategy="STRICT_SPREAD")
    try:
        early = _await_place(group, bundle, method.nodes, lease)
        if early is not None:
            return early
        return _follow(_start(group, bundle, method.nodes, options), lease)
    finally:
        remove_placement_group(group)


def _await_place(group: Any, bundle: dict[str, float], nodes: int, lease: Lease) -> int | None:
    """Wait until the cluster has room. Return a status if the run is stopped or lost before."""
    waits = lease.run_dir / WAITS
    while not group.wait(TICK_S):
        if lease.left_s() <= 0:
            return PAST_DEADLINE
        if lease.is_to_stop:
            return STOPPED
        replace(waits, _why(bundle, nodes))
    waits.unlink(missing_ok=True)
    return None


def _why(bundle: dict[str, float], nodes: int) -> str:
    """What the cluster lacks, for users."""
    alive = [node["Resources"] for node in ray.nodes() if node["Alive"]]
    fitting = [have for have in alive if all(have.get(name, 0) >= n for name, n in bundle.items())]
    what = " and ".join(f"{n:.0f} {name}" for name, n in bundle.items())
    wanted = f"{nodes} {'node' if nodes == 1 else 'nodes'} with {what}"
    if len(fitting) < nodes:
        return (
            f"Waits for Ray: the run needs {wanted}, and {len(fitting)} of the cluster's "
            f"{len(alive)} nodes have as many. Add nodes, or cancel it and ask for less."
        )
    return f"Waits for Ray: the run needs {wanted}, and other work uses them."


def _start(group: Any, bundle: dict[str, float], nodes: int, options: Any) -> dict[Any, int]:
    """Start every node; returns the number of each by its result's reference."""
    actors: Any = ray.remote(Node)
    started = {}
    for index in range(nodes):
        place = PlacementGroupSchedulingStrategy(group, placement_group_bundle_index=index)
        actor = actors.options(
            max_restarts=0,
            num_cpus=bundle["CPU"],
            num_gpus=bundle.get("GPU", 0),
            scheduling_strategy=place,
        ).remote()
        command = [str(options.run_dir), options.verb, f"--node={index}"]
        started[actor.run.remote(command)] = index
    return started


def _follow(running: dict[Any, int], lease: Lease) -> int:
    """Wait for all nodes. Once one has failed, the others are ended after some seconds."""
    statuses: list[int] = []
    failed_at: float | None = None
    pending = list(running)
    while pending:
        done, pending = ray.wait(pending, timeout=TICK_S)
        statuses += [_status(reference, running[reference]) for reference in done]
        if failed_at is None and any(code not in (0, STOPPED) for code in statuses):
            failed_at = time.monotonic()
        if failed_at is not None and time.monotonic() - failed_at > GRACE_S:
            lease.revoke()
    failed = next((code for code in statuses if code not in (0, STOPPED)), 0)
    return failed or (STOPPED if STOPPED in statuses else 0)


def _status(reference: Any, index: int) -> int:
    try:
        return ray.get(reference)
    except RayError as error:
        sys.stderr.write(f"Node {index} was lost: {type(error).__name__}.\n")
        return 1


if __name__ == "__main__":
    sys.exit(main())
