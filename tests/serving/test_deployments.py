"""The serve worker brings engines and adapters to the desired state, even if processes die."""

import os
import signal
import time
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import pytest

from models import Engine
from models.deployments import DeploymentStatus
from models.jobs import JobState
from services.jobs import claims
from services.platform.database import transaction
from services.platform.errors import NotFound
from services.processes import process_tree
from services.processes.verbs import VerbError
from services.serving import deployments, engines, weights
from tests import records
from tests.serving.conftest import CALLER, client_of, gone_within, names_of
from workers import deployments as worker
from workers import parity, vllm
from workers.engine_client import DownError, EngineClient

READY, FAILED, PENDING = (
    DeploymentStatus.READY,
    DeploymentStatus.FAILED,
    DeploymentStatus.PENDING,
)


def test_base_and_tuned_sit_side_by_side_in_one_engine(serving):
    base = serving.base()
    tuned = serving.tuned(base)
    ids = serving.deploy(base, tuned)
    of_base, of_tuned = serving.settle(*ids)
    assert (of_base.status, of_tuned.status) == (READY, READY), serving.describe()
    (engine,) = serving.engines()
    assert names_of(engine) == {base, of_tuned.id}
    parity = of_tuned.parity
    assert parity["token_ids_equal"] is True
    assert parity["max_logprob_diff"] == 0
    assert parity["tokens_compared"] == 2
    assert parity["equal_to_base"] is False
    assert len(parity["weights_sha256"]) == 64
    assert of_base.parity["weights_sha256"] == "of-the-base"
    with transaction() as session:
        route = deployments.route(session, CALLER, tuned)
        assert not deployments.needs_reconcile(session)
    assert route.upstream_model == of_tuned.id
    assert route.upstream.socket == engine.host


@pytest.mark.parametrize(
    ("probed", "behaviour", "sentence"),
    [
        ({"logprobs": [-0.5, -1.2]}, {}, "differ from the trainer's by up to 0.700"),
        ({"logprobs": [-0.5, float("nan")]}, {}, "not a finite number"),
        ({"prompt_token_ids": [1, 2]}, {}, "other tokens"),
        ({"logprobs": [-0.8, -0.8]}, {"ignores_adapters": True}, "did not apply the adapter"),
        ({}, {"refuses_adapters": True}, "rank 64 is greater than 16"),
    ],
)
def test_what_differs_from_the_training_is_never_ready(serving, probed, behaviour, sentence):
    base = serving.base(**behaviour)
    tuned = serving.tuned(base, **probed)
    of_base, of_tuned = serving.settle(*serving.deploy(base, tuned))
    assert of_base.status == READY
    assert of_tuned.status == FAILED
    assert sentence in of_tuned.error["message"]
    with transaction() as session, pytest.raises(NotFound, match="could not be deployed"):
        deployments.route(session, CALLER, tuned)


def test_damaged_files_are_never_ready(serving):
    base = serving.base()
    tuned = serving.tuned(base)
    (weights,) = serving.folder.glob("runs/*/g1/checkpoints/*/adapter/adapter_model.safetensors")
    weights.write_text("-0.6")
    (deployment,) = serving.settle(*serving.deploy(tuned))
    assert deployment.status == FAILED
    assert "does not match its sha256" in deployment.error["message"]


def test_an_adapter_that_changed_nothing_is_a_warning(serving):
    base = serving.base()
    (deployment,) = serving.settle(*serving.deploy(serving.tuned(base, logprob=-1.0)))
    assert deployment.status == READY
    assert deployment.parity["equal_to_base"] is True


@pytest.mark.slow
def test_an_engine_that_keeps_crashing_is_given_up(serving):
    base = serving.base(crashes=True)
    (deployment,) = serving.settle(*serving.deploy(base))
    assert deployment.status == FAILED
    assert "ended 3 times" in deployment.error["message"]
    assert "ValueError: No KV cache fits." in deployment.error["message"]
    assert [engine.status for engine in serving.engines()] == [engines.EngineStatus.FAILED] * 3
    assert all(gone_within(engine.pid, 0) for engine in serving.engines())
    # A second request starts a new attempt.
    (serving.folder / base / "behaviour.json").write_text("{}")
    (again,) = serving.settle(*serving.deploy(base))
    assert again.status == READY


def test_a_killed_server_takes_its_tree_along_and_comes_back(serving):
    base = serving.base()
    tuned = serving.tuned(base)
    ids = serving.deploy(base, tuned)
    serving.settle(*ids)
    (engine,) = serving.live()
    server = next(p.pid for p in process_tree.session(engine.pid) if p.pid != engine.pid)
    os.kill(server, signal.SIGKILL)
    # The worker doesn't step here: the shell that leads the session ends the processes.
    assert gone_within(engine.pid, 2)
    worker.step()
    assert {serving.deployment(i).status for i in ids} != {READY}
    serving.settle(*ids)
    assert {serving.deployment(i).status for i in ids} == {READY}
    (successor,) = serving.live()
    assert successor.id != engine.id
    assert ids[1] in names_of(successor)


def test_a_killed_leader_leaves_nothing_either(serving):
    base = serving.base()
    (deployment_id,) = serving.deploy(base)
    serving.settle(deployment_id)
    (engine,) = serving.live()
    os.kill(engine.pid, signal.SIGKILL)
    worker.step()
    assert gone_within(engine.pid, 2)
    (deployment,) = serving.settle(deployment_id)
    assert deployment.status == READY


def test_an_engine_whose_pid_was_never_recorded_is_found_and_ended(serving):
    base = serving.base()
    (deployment_id,) = serving.deploy(base)
    serving.until(serving.live)
    (engine,) = serving.live()
    with transaction() as session:
        record = session.get_one(type(engine), engine.id)
        record.pid = record.pid_started = None
    worker.step()
    assert gone_within(engine.pid, 2)
    (deployment,) = serving.settle(deployment_id)
    assert deployment.status == READY


def test_another_s_process_is_left_alone():
    vllm.stop(os.getpid(), 1)
    assert vllm.alive(os.getpid(), vllm.start_ticks(os.getpid()))
    assert not vllm.alive(os.getpid(), 1)


def test_an_adapter_that_the_engine_lost_is_loaded_again(serving):
    base = serving.base()
    (deployment_id,) = serving.deploy(serving.tuned(base))
    serving.settle(deployment_id)
    (engine,) = serving.live()
    client_of(engine).unload_adapter(deployment_id)
    serving.until(lambda: deployment_id in names_of(engine))
    assert serving.deployment(deployment_id).status == READY


def test_what_is_taken_back_is_unloaded_and_the_engine_ends(serving, monkeypatch):
    base = serving.base()
    of_base, of_tuned = serving.deploy(base, serving.tuned(base))
    serving.settle(of_base, of_tuned)
    (engine,) = serving.live()
    with transaction() as session:
        deployments.stop(session, CALLER, of_tuned)
    worker.step()
    assert names_of(engine) == {base}
    with transaction() as session:
        deployments.stop(session, CALLER, of_base)
    worker.step()
    assert serving.live(), "an engine is kept for a while: it may be asked for again"
    monkeypatch.setattr(worker, "IDLE_GRACE_S", 0)
    worker.step()
    assert not serving.live()
    assert gone_within(engine.pid, 0)
    statuses = {serving.deployment(i).status for i in (of_base, of_tuned)}
    assert statuses == {DeploymentStatus.STOPPED}


def test_a_deployment_makes_room_for_a_job_and_comes_back(serving):
    base = serving.base()
    with transaction() as session:
        deployment_id = deployments.create(session, CALLER, base, yields=True).id
    serving.settle(deployment_id)
    (engine,) = serving.live()
    with transaction() as session:
        job_id = records.job(session, CALLER, JobState.QUEUED, base_model=base).id
        claims.claim_next(session, "w")
        assert deployments.needs_reconcile(session)
        assert not engines.room_is_made(session)
    worker.step()
    assert gone_within(engine.pid, 0)
    with transaction() as session:
        assert engines.room_is_made(session)
        assert not deployments.needs_reconcile(session)
        with pytest.raises(NotFound, match="made room for a training job"):
            deployments.route(session, CALLER, base)
    worker.step()
    assert not serving.live()
    with transaction() as session:
        claims.fail(session, job_id, 1, {"code": "nan", "message": "x", "param": None})
        assert deployments.needs_reconcile(session)
    (deployment,) = serving.settle(deployment_id)
    assert deployment.status == READY


def test_a_deployment_that_keeps_its_place_is_left_alone_by_jobs(serving):
    base = serving.base()
    (deployment_id,) = serving.deploy(base)
    serving.settle(deployment_id)
    with transaction() as session:
        records.job(session, CALLER, JobState.QUEUED, base_model=base)
        claims.claim_next(session, "w")
        assert engines.room_is_made(session)
    worker.step()
    assert serving.deployment(deployment_id).status == READY


def test_a_larger_adapter_gets_a_larger_engine(serving):
    base = serving.base()
    (first,) = serving.deploy(serving.tuned(base))
    serving.settle(first)
    (second,) = serving.deploy(serving.tuned(base, rank=40))
    serving.until(lambda: serving.deployment(second).status == READY)
    serving.settle(first)
    (engine,) = serving.live()
    assert engine.max_lora_rank == 64
    assert names_of(engine) == {base, first, second}


def test_an_adapter_beyond_any_engine_fails_alone(serving):
    base = serving.base()
    small, large = serving.settle(
        *serving.deploy(serving.tuned(base), serving.tuned(base, rank=600))
    )
    assert small.status == READY
    assert large.status == FAILED
    assert "600" in large.error["message"]


def test_full_weights_have_an_engine_of_their_own_started_after_the_other(serving):
    base = serving.base(start_s=0.5)
    full = serving.full(base)
    ids = serving.deploy(base, full)
    most = 0
    while {serving.deployment(i).status for i in ids} != {READY}:
        starting = [e for e in serving.live() if e.status == engines.EngineStatus.STARTING]
        most = max(most, len(starting))
        worker.step()
        time.sleep(0.02)
    assert most == 1
    assert sorted(engine.max_lora_rank for engine in serving.live()) == [0, 16]
    with transaction() as session:
        assert deployments.route(session, CALLER, full).upstream_model == full


def test_an_adapter_that_no_engine_applies_is_merged_once_and_served_by_its_own(
    serving, monkeypatch
):
    merges = []

    def run_verb(verb, source, target):
        merges.append(verb)
        if len(merges) == 1:
            raise VerbError({"message": "No space is left."})
        assert (Path(source) / "adapter").is_dir()
        Path(target).mkdir()
        (Path(target) / "behaviour.json").write_text("{}")

    monkeypatch.setattr(weights, "run_verb", run_verb)
    base = serving.base()
    tuned = serving.unmerged(base)
    (failed,) = serving.settle(*serving.deploy(tuned))
    assert failed.status == FAILED
    assert "could not be merged: No space is left" in failed.error["message"]
    assert not serving.engines()
    of_base, of_tuned = serving.settle(*serving.deploy(base, tuned))
    assert (of_base.status, of_tuned.status) == (READY, READY), serving.describe()
    assert merges == ["merge"] * 2
    assert sorted(engine.max_lora_rank for engine in serving.live()) == [0, 16]
    (own,) = (engine for engine in serving.live() if engine.max_lora_rank == 0)
    assert Path(own.weights).parent == serving.folder / "merged"
    with transaction() as session:
        assert deployments.route(session, CALLER, tuned).upstream_model == tuned


def test_weights_that_are_gone(serving):
    base = serving.base()
    for file in (serving.folder / base).iterdir():
        file.unlink()
    (serving.folder / base).rmdir()
    (deployment,) = serving.settle(*serving.deploy(base))
    assert deployment.status == FAILED
    assert not serving.engines()


@pytest.mark.slow
def test_an_engine_that_takes_too_long_is_ended(serving, settings_from):
    settings_from(engine_start_s=0.3)
    (deployment,) = serving.settle(*serving.deploy(serving.base(start_s=60)))
    assert deployment.status == FAILED
    assert "did not answer within" in deployment.error["message"]
    assert all(gone_within(engine.pid, 0) for engine in serving.engines())


def test_what_failed_its_check_is_unloaded(serving):
    base = serving.base()
    of_base, failed = serving.deploy(base, serving.tuned(base, logprobs=[-0.5, -1.2]))
    serving.settle(of_base, failed)
    assert serving.deployment(failed).status == FAILED
    (engine,) = serving.live()
    serving.until(lambda: names_of(engine) == {base})


def test_what_could_not_be_unloaded_in_time_is_unloaded_later(serving, monkeypatch):
    base = serving.base()
    of_base, of_tuned = serving.deploy(base, serving.tuned(base))
    serving.settle(of_base, of_tuned)
    (engine,) = serving.live()
    with transaction() as session:
        deployments.stop(session, CALLER, of_tuned)

    def time_out(*_):
        raise DownError("timed out")

    with monkeypatch.context() as patched:
        patched.setattr(EngineClient, "unload_adapter", time_out)
        worker.step()
    assert names_of(engine) == {base, of_tuned}
    worker.step()
    assert names_of(engine) == {base}
    assert serving.deployment(of_tuned).status == DeploymentStatus.STOPPED
    assert serving.deployment(of_base).status == READY


def test_a_check_that_took_too_long_is_tried_again(serving, monkeypatch):
    run_verb, limits = parity.run_verb, []

    def too_slow_at_first(verb, *arguments, timeout_s):
        limits.append(timeout_s)
        if len(limits) == 1:
            raise VerbError({"code": "timeout", "message": "It did not end."})
        return run_verb(verb, *arguments, timeout_s=timeout_s)

    monkeypatch.setattr(parity, "run_verb", too_slow_at_first)
    (deployment,) = serving.settle(*serving.deploy(serving.tuned(serving.base())))
    assert deployment.status == READY, serving.describe()
    assert len(limits) == 2
    assert min(limits) > parity.PROBE_S


def test_a_stop_waits_for_the_engine_that_is_just_being_given(serving):
    (deployment_id,) = serving.deploy(serving.base())
    engine = {"weights": "w", "status": "ready", "served_name": "b", "worker": "w"}
    place = {"host": "127.0.0.1", "port": 1, "device": "cpu"}

    def stop():
        with transaction() as session:
            deployments.stop(session, CALLER, deployment_id)

    with ThreadPoolExecutor(1) as pool:
        with transaction() as session:
            session.add(Engine(id="engine-1", **engine, **place))
            session.flush()
            status = DeploymentStatus.STARTING
            engines.set_status(session, deployment_id, status, engine_id="engine-1")
            stopping = pool.submit(stop)
            time.sleep(0.3)
            assert not stopping.done()
        stopping.result(timeout=10)
    deployment = serving.deployment(deployment_id)
    assert (deployment.desired, deployment.status) == ("stop", DeploymentStatus.STARTING)
    with transaction() as session:
        assert [row.id for row in engines.unwanted(session)] == [deployment_id]
        # There is no process to end.
        engines.end(session, "engine-1", engines.EngineStatus.STOPPED)
