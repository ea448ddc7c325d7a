"""Runs on a Slurm cluster of one node (`make test-slurm`), and what needs no cluster."""

import time
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest

from orpo.contract import rundir
from services.launchers.cluster import Request, Unreachable
from services.launchers.slurm import Slurm, script, status_of
from tests.launchers.following import (
    ENDLESS,
    end_of,
    has_trained,
    last_event,
    ranks_of,
    start,
    wait_until,
)
from tests.launchers.slurm_cluster import slurm_cluster, why_not
from tests.orpo.tiny_run import Bench, assert_same, checkpoint

needs_slurm = pytest.mark.skipif(why_not() is not None, reason=str(why_not()))


@pytest.fixture(scope="module")
def configuration(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Path]:
    with slurm_cluster(tmp_path_factory.mktemp("slurm")) as found:
        yield found


@pytest.fixture
def on_slurm(
    configuration: Path, settings_from: Callable[..., None], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("SLURM_CONF", str(configuration))
    settings_from(launcher="slurm", cluster_device="cpu", lease_s=20, sandbox="floor")


@needs_slurm
@pytest.mark.slow
@pytest.mark.usefixtures("on_slurm")
def test_a_run_on_slurm_is_that_of_this_machine(bench: Bench) -> None:
    here = bench.run("here", max_steps=4)
    there = bench.spec("there", max_steps=4)
    launched = start(there, "oddsmith-whole-g1")
    assert end_of(launched) == 0
    assert_same(checkpoint(here, 4), checkpoint(there, 4))
    # The name is known: a request that was sent twice is one job.
    assert start(there, "oddsmith-whole-g1").poll() == 0


@needs_slurm
@pytest.mark.slow
@pytest.mark.usefixtures("on_slurm")
def test_a_run_that_is_stopped_saves(bench: Bench) -> None:
    run = bench.spec("run", **ENDLESS)
    launched = start(run, "oddsmith-stop-g1")
    wait_until(launched, lambda: has_trained(run))
    launched.ask_to_stop()
    assert end_of(launched) == 75
    assert last_event(run) == "stopped"
    assert rundir.checkpoints(run)


@needs_slurm
@pytest.mark.slow
@pytest.mark.usefixtures("on_slurm")
def test_what_never_fits_waits_and_leaves_the_queue_when_it_is_stopped(bench: Bench) -> None:
    settings: dict[str, Any] = {"strategy": "ddp", "processes": 2, "nodes": 2}
    run = bench.spec("run", **settings)
    launched = start(run, "oddsmith-large-g1")
    # Slurm refuses what its nodes can never hold, or keeps it in the queue.
    wait_until(launched, lambda: "Slurm" in (launched.waits_for or ""))
    launched.ask_to_stop()
    launched.kill()
    assert not (run / rundir.EVENTS).exists()


@needs_slurm
@pytest.mark.slow
@pytest.mark.usefixtures("on_slurm")
def test_a_run_whose_worker_is_gone_ends_and_none_starts(bench: Bench) -> None:
    run = bench.spec("run", **ENDLESS)
    launched = start(run, "oddsmith-gone-g1")
    wait_until(launched, lambda: has_trained(run))
    launched.kill()
    until = time.monotonic() + 10
    while ranks_of(run):
        assert time.monotonic() < until
        time.sleep(0.1)


def request(on_gpus: bool) -> Request:
    return Request("oddsmith-x-g1", Path("/runs/x y/g1"), "train", 2, 4, on_gpus)


def test_the_script_asks_for_one_task_a_node(settings_from: Callable[..., None]) -> None:
    settings_from(slurm_options="--partition=gpu '--comment=two words'")
    lines = script(request(on_gpus=True)).splitlines()
    assert lines[0] == "#!/bin/bash"
    asked = [line.removeprefix("#SBATCH ") for line in lines if line.startswith("#SBATCH")]
    assert {"--nodes=2", "--ntasks-per-node=1", "--gpus-per-node=4", "--no-requeue"} <= set(asked)
    assert {"--partition=gpu", "'--comment=two words'"} <= set(asked)
    assert lines[-1].endswith("services.launchers.node '/runs/x y/g1' train")
    assert "--cpus-per-task=4" in script(request(on_gpus=False))


@pytest.mark.parametrize(
    ("pair", "status"), [("0:0", 0), ("75:0", 75), ("0:9", 137), ("", None), ("x", None)]
)
def test_an_exit_status_is_read(pair: str, status: int | None) -> None:
    assert status_of(pair) == status


def test_without_slurm_s_programs_a_run_waits(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("PATH", "")
    with pytest.raises(Unreachable, match="squeue is not in the worker's PATH"):
        Slurm().look("oddsmith-x-g1")
