"""Runs on a Ray cluster of two nodes."""

import socket
import time
from collections.abc import Callable
from typing import Any

import pytest

from orpo.contract import rundir
from services.processes import process_tree
from tests.launchers.clusters import RayCluster
from tests.launchers.following import (
    ENDLESS,
    end_of,
    has_trained,
    last_event,
    ranks_of,
    start,
    wait_until,
)
from tests.orpo import tiny_run
from tests.orpo.tiny_run import Bench, assert_same, checkpoint, fork_ranks, join

pytestmark = pytest.mark.slow

TWO: dict[str, Any] = {
    "strategy": "fsdp2", "processes": 2, "max_steps": 8, "keep_checkpoints": 0, "n_samples": 0,
    "eval_every": 8,
}  # fmt: skip


def test_two_nodes_make_the_run_of_two_processes_though_one_is_lost(
    bench: Bench, on_ray: RayCluster
) -> None:
    here = bench.spec("here", **TWO)
    assert join(fork_ranks(here, 2)) == [0, 0]
    lost = bench.spec("lost", **TWO, nodes=2)
    launched = start(lost, "oddsmith-two-g1")
    wait_until(launched, lambda: rundir.checkpoints(lost))
    for process in process_tree.find(f"{lost}#1"):
        process.kill()
    on_ray.lose_node()
    assert end_of(launched) not in (0, 75)
    assert ranks_of(lost) == []
    assert (lost / rundir.log(1)).exists()
    on_ray.add_node()
    first = rundir.checkpoints(lost)[0]
    again = bench.spec("again", **TWO, nodes=2, resume_from=first)
    assert end_of(start(again, "oddsmith-two-g2")) == 0
    assert_same(checkpoint(here, TWO["max_steps"]), checkpoint(again, TWO["max_steps"]))


def test_a_run_that_is_stopped_saves_and_one_name_is_run_once(
    bench: Bench, on_ray: RayCluster
) -> None:
    run = bench.spec("run", **ENDLESS)
    launched = start(run, "oddsmith-stop-g1")
    wait_until(launched, lambda: has_trained(run))
    assert launched.waits_for is None
    # A worker that did not learn that its request was accepted sends it again.
    again = start(run, "oddsmith-stop-g1")
    assert again.poll() is None
    assert launched.ask_to_stop()
    assert (end_of(launched), end_of(again)) == (75, 75)
    assert last_event(run) == "stopped"
    assert len([e for e in tiny_run.records(run, "events") if e["type"] == "started"]) == 1
    assert rundir.checkpoints(run)


def test_ranks_end_soon_after_the_worker_that_holds_the_run(
    bench: Bench, on_ray: RayCluster, settings_from: Callable[..., None]
) -> None:
    run = bench.spec("run", **ENDLESS)
    launched = start(run, "oddsmith-lease-g1")
    wait_until(launched, lambda: has_trained(run))
    settings_from(lease_s=2)
    launched.renew()
    killed_at = time.monotonic()
    while ranks_of(run):
        time.sleep(0.1)
        assert time.monotonic() - killed_at < 6
    while launched.poll() is None:
        assert time.monotonic() - killed_at < 30
        time.sleep(0.2)
    assert launched.poll() == 70


@pytest.mark.long
def test_what_never_fits_waits_with_the_reason_and_can_be_stopped(
    bench: Bench, on_ray: RayCluster
) -> None:
    large: dict[str, Any] = TWO | {"processes": 8, "nodes": 2}
    run = bench.spec("run", **large)
    launched = start(run, "oddsmith-large-g1")
    wait_until(launched, lambda: "0 of the cluster's" in (launched.waits_for or ""))
    assert "the run needs 2 nodes with 4 CPU" in (launched.waits_for or "")
    launched.ask_to_stop()
    end_of(launched)
    assert not (run / rundir.EVENTS).exists()


def test_a_cluster_that_is_away_or_refuses_the_token_lets_the_run_wait(
    bench: Bench, on_ray: RayCluster, settings_from: Callable[..., None]
) -> None:
    run = bench.spec("run", **ENDLESS)
    settings_from(ray_token="wrong")
    launched = start(run, "oddsmith-away-g1")
    assert launched.poll() is None
    assert "check ODDSMITH_RAY_TOKEN" in (launched.waits_for or "")
    with socket.create_server(("127.0.0.1", 0)) as listener:
        closed = listener.getsockname()[1]
    settings_from(ray_address=f"http://127.0.0.1:{closed}", ray_token=on_ray.token)
    launched = start(run, "oddsmith-away-g1")
    assert launched.poll() is None
    assert f"http://127.0.0.1:{closed} can't be reached" in (launched.waits_for or "")
    launched.ask_to_stop()
    launched.kill()
    assert launched.poll() is not None
