"""Mirrors: a job's numbers in MLflow, TensorBoard and W&B, each at its own pace."""

import json
import os
import socket
import threading
import time
from collections.abc import Callable
from datetime import timedelta
from pathlib import Path
from typing import Any

import pytest
from mlflow.tracking import MlflowClient
from sqlalchemy import delete, func, select

from models import Job, Metric, Mirror, OutboxMessage
from models.jobs import JobState
from models.mirrors import MirrorStatus
from services.jobs import integrations
from services.platform.database import transaction
from services.platform.queue import Task
from services.platform.settings import get_settings
from services.runs import mirrors
from tests import records
from tests.services import tracked
from tests.services.mirroring import (
    BEGAN,
    MLFLOW,
    OWNER,
    TENSORBOARD,
    WANDB,
    calls_nobody,
    end,
    organization,
    run_again,
    run_due,
    running,
    state,
    train,
)
from workers import keeper
from workers import mirrors as worker

__all__ = ["calls_nobody", "organization"]

pytestmark = [pytest.mark.slow, pytest.mark.usefixtures("organization", "calls_nobody")]


def losses(first: int, last: int, split: str) -> list[tuple[str, int, float, float]]:
    return [(f"{split}/loss", n, n / 4, BEGAN + n) for n in range(first, last + 1)]


def test_tensorboard_has_each_number_once_with_its_time() -> None:
    job_id = running(TENSORBOARD)
    folder = get_settings().trackers_dir / job_id / "0"
    train(job_id, 1, 2)
    run_due()
    assert (state(job_id).status, state(job_id).position["train"]) == (MirrorStatus.MIRRORING, 2)
    train(job_id, 3, 5)
    end(job_id)
    before = state(job_id).position
    run_due()
    run_again(job_id, before)
    found = tracked.scalars(folder)
    expected = [*losses(2, 2, "held_out"), *losses(5, 5, "held_out"), *losses(1, 5, "train")]
    assert found == expected
    texts = tracked.texts(folder)
    (sample,) = (text for name, text in texts.items() if name.startswith("samples/line-7"))
    assert "user: Why?" in sample
    assert "So." in sample
    (settings,) = (text for name, text in texts.items() if name.startswith("settings"))
    assert '"metadata.team": "red"' in settings
    assert (state(job_id).status, state(job_id).next_at) == (MirrorStatus.DONE, None)


def test_mlflow_has_metrics_settings_and_samples() -> None:
    job_id = running(MLFLOW)
    train(job_id, 1, 3)
    end(job_id)
    run_due()
    run_again(job_id, {"train": 1, "held_out": -1})
    mirror = state(job_id)
    assert (mirror.status, mirror.error) == (MirrorStatus.DONE, None)
    os.environ["MLFLOW_ALLOW_FILE_STORE"] = "true"
    client = MlflowClient((get_settings().trackers_dir / "mlflow").as_uri())
    assert mirror.run_id is not None
    run = client.get_run(mirror.run_id)
    assert (run.info.run_name, run.info.status) == ("first", "FINISHED")
    assert client.get_experiment(run.info.experiment_id).name == "ours"
    params = run.data.params
    assert (params["metadata.team"], params["method"]) == ("red", "orpo")
    assert (params["metadata.model"], params["metadata..._what_"]) == ("mine", "odd")
    with transaction() as session:
        assert params["model"] == session.get_one(Job, job_id).base_model
    history = client.get_metric_history(mirror.run_id, "train/loss")
    assert [(m.step, m.value, m.timestamp) for m in history] == [
        (n, n / 4, (BEGAN + n) * 1000) for n in (1, 2, 3)
    ]
    assert len(client.get_metric_history(mirror.run_id, "held_out/loss")) == 1
    (artifact,) = client.list_artifacts(mirror.run_id, "samples/step-3")
    assert artifact.path == "samples/step-3/line-7.txt"


def test_wandb_s_offline_files_have_the_whole_run_once_it_has_ended() -> None:
    job_id = running(WANDB)
    train(job_id, 1, 2)
    run_due()
    assert (state(job_id).status, state(job_id).position) == (MirrorStatus.WAITING, {})
    assert not get_settings().trackers_dir.exists()
    train(job_id, 3, 4)
    end(job_id)
    run_due()
    assert state(job_id).status == MirrorStatus.DONE
    found = tracked.wandb_records(get_settings().trackers_dir / job_id / "0")
    (run,) = (record.run for record in found if record.HasField("run"))
    assert (run.project, run.entity, run.run_id) == ("p", "e", job_id)
    assert set(run.tags) == {"a", job_id}
    logged = []
    for record in found:
        items = {
            (item.key or "/".join(item.nested_key)): json.loads(item.value_json)
            for item in record.history.item
        }
        if "train/loss" in items:
            logged.append((items["step"], items["train/loss"]))
    assert logged == [(n, n / 4) for n in (1, 2, 3, 4)]


def test_a_dead_tracker_delays_only_its_own_mirror_which_catches_up(
    settings_from: Callable[..., None],
) -> None:
    settings_from(mlflow_uri="http://user:pass-word@127.0.0.1:9/")
    job_id = running(MLFLOW, TENSORBOARD)
    train(job_id, 1, 2)
    end(job_id)
    run_due()
    dead, alive = state(job_id, 0), state(job_id, 1)
    assert (alive.status, dead.status) == (MirrorStatus.DONE, MirrorStatus.WAITING)
    assert "could not be written to" in str(dead.error)
    assert "pass-word" not in str(dead.error)
    assert dead.failures == 1
    with transaction() as session:
        session.get_one(Mirror, (job_id, 0)).next_at = func.clock_timestamp()
    assert not worker.mirror_next(failing=False)
    settings_from(mlflow_uri="")
    run_due()
    assert (state(job_id).status, state(job_id).error) == (MirrorStatus.DONE, None)
    assert state(job_id).position["train"] == 2


def test_the_operator_s_server_is_not_for_others(settings_from: Callable[..., None]) -> None:
    settings_from(mlflow_uri="http://127.0.0.1:9")
    with transaction() as session:
        stranger = records.caller(session, "stranger")
    job_id = running(MLFLOW, owner=stranger)
    train(job_id, 1, 1)
    end(job_id)
    run_due()
    assert state(job_id).status == MirrorStatus.DONE
    assert (get_settings().trackers_dir / "mlflow").is_dir()


def test_a_tracker_that_never_answers_is_left(
    settings_from: Callable[..., None], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(worker, "TIMEOUT_S", 1)
    with socket.create_server(("127.0.0.1", 0)) as silent:
        settings_from(mlflow_uri=f"http://127.0.0.1:{silent.getsockname()[1]}")
        job_id = running(MLFLOW)
        train(job_id, 1, 1)
        run_due()
    assert state(job_id).error == "The tracker took longer than 1 seconds. It is tried again."


def test_the_key_of_wandb_is_in_no_file_and_numbers_that_it_lacks_are_not_skipped(
    settings_from: Callable[..., None], monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    key = "f" * 40
    (home := tmp_path / "home").mkdir()
    monkeypatch.setenv("HOME", str(home))
    monkeypatch.setenv("WANDB_BASE_URL", "http://127.0.0.1:9")
    monkeypatch.setattr(worker, "TIMEOUT_S", 6)
    settings_from(wandb_api_key=key)
    job_id = running(WANDB)
    train(job_id, 1, 2)
    run_due()
    mirror = state(job_id)
    assert (mirror.failures, mirror.position) == (1, {})
    assert key not in str(mirror.error)
    files = [path for path in get_settings().trackers_dir.rglob("*") if path.is_file()]
    assert any(path.suffix == ".log" for path in files)
    assert not any(key.encode() in path.read_bytes() for path in files)
    assert list(home.iterdir()) == []


def test_a_pass_is_begun_only_if_there_is_something_to_do(monkeypatch: pytest.MonkeyPatch) -> None:
    passes = []
    monkeypatch.setattr(worker, "_pass", lambda *claimed: passes.append(claimed))
    job_id = running(TENSORBOARD, WANDB)
    run_due()
    assert passes == []
    train(job_id, 1, 1)
    run_due()
    assert passes == [(job_id, 0)]
    with transaction() as session:
        position = mirrors.after(session, job_id, {}).position
        mirrors.advance(session, job_id, 0, position, "r")
    end(job_id)
    run_due()
    assert sorted(passes) == [(job_id, 0), (job_id, 0), (job_id, 1)]


def test_what_is_written_of_a_deleted_job_is_removed() -> None:
    job_id = running(TENSORBOARD)
    train(job_id, 1, 1)
    end(job_id)
    with transaction() as session:
        session.get_one(Job, job_id).deleted_at = func.clock_timestamp()
    assert worker._pass(job_id, 0) is None
    assert not (get_settings().trackers_dir / job_id / "0").exists()


def test_it_is_given_up_a_week_after_the_job_s_end() -> None:
    job_id = running(TENSORBOARD)
    with transaction() as session:
        mirrors.fail(session, job_id, 0, "m")
    assert state(job_id).status == MirrorStatus.WAITING
    end(job_id)
    with transaction() as session:
        job = session.get_one(Job, job_id)
        job.finished_at = func.clock_timestamp() - timedelta(days=7, minutes=1)
    with transaction() as session:
        mirrors.fail(session, job_id, 0, "m")
    assert (state(job_id).status, state(job_id).error) == (MirrorStatus.FAILED, "m")
    with transaction() as session:
        assert not mirrors.are_due(session)


def test_the_keeper_wakes_what_is_due(redis_url: str, settings_from: Callable[..., None]) -> None:
    settings_from(redis_url=redis_url)
    job_id = running(TENSORBOARD)
    with transaction() as session:
        session.execute(delete(OutboxMessage))
    keeper.rewake()
    with transaction() as session:
        assert Task.MIRROR in session.scalars(select(OutboxMessage.task)).all()
        session.execute(delete(OutboxMessage))
        mirrors.pause(session, job_id, 0, more=False)
    keeper.rewake()
    with transaction() as session:
        assert Task.MIRROR not in session.scalars(select(OutboxMessage.task)).all()


def test_a_job_that_never_ran_is_mirrored_as_empty() -> None:
    with transaction() as session:
        job = records.job(session, OWNER, JobState.QUEUED)
        integrations.add(session, job.id, [TENSORBOARD])
        assert not mirrors.are_due(session)
        job.state = JobState.CANCELLED
    run_due()
    assert (state(job.id).status, state(job.id).position) == (MirrorStatus.DONE, {})


def test_positions_lose_no_step_where_a_batch_is_cut(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(mirrors, "NUMBERS_A_BATCH", 5)
    job_id = running(TENSORBOARD)
    train(job_id, 1, 9)
    seen, position = [], {}
    with transaction() as session:
        while batch := mirrors.after(session, job_id, position):
            seen += [(each["split"], each["step"]) for each in batch.steps]
            position = batch.position
    assert sorted(seen) == [("held_out", 9), *(("train", n) for n in range(1, 10))]
    assert position["sample"] == [9, 7]


def test_the_task_ends_at_once(monkeypatch: pytest.MonkeyPatch) -> None:
    began, released = threading.Event(), threading.Event()

    def slow(*_: Any) -> None:
        began.set()
        released.wait(20)

    monkeypatch.setattr(worker, "_pass", slow)
    job_id = running(TENSORBOARD)
    train(job_id, 1, 1)
    worker.mirror()
    assert began.wait(20)
    worker.mirror()  # one more wake-up changes nothing
    train(job_id, 2, 2)
    with transaction() as session:
        assert session.get(Metric, (job_id, "train", "loss", 2)) is not None
    released.set()
    while any(thread.is_busy for thread in worker.THREADS):
        time.sleep(0.01)
