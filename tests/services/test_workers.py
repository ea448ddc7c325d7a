"""The fleet: live workers, free devices, and jobs that fit."""

from typing import Any

import pytest
from sqlalchemy import text

from models import Job, Worker
from models.jobs import JobState
from orpo.contract.methods import parse_method
from services.jobs import claims, jobs, waiting, workers
from services.platform.errors import Invalid
from tests import records

GPUS = [{"index": index, "name": "GPU", "memory_bytes": 2**36} for index in range(4)]


@pytest.fixture
def queued(session, caller):
    """A queued job with this number of processes and nodes."""

    def make(processes: int = 1, nodes: int = 1, **fields: Any) -> Job:
        strategy = "ddp" if processes > 1 else "single"
        settings = {"strategy": strategy, "processes": processes, "nodes": nodes}
        method = parse_method("orpo", settings).model_dump(mode="json")
        return records.job(session, caller, JobState.QUEUED, method=method, **fields)

    return make


@pytest.fixture
def register(session):
    def one(name: str, host: str = "a", devices: list[dict[str, Any]] = GPUS, cores: int = 8):
        workers.register(session, name, host=host, cores=cores, devices=devices)

    return one


def devices(job: Job | None) -> list[int]:
    assert job
    return job.placement[-1]["devices"]


def test_two_jobs_on_one_machine_never_share_a_gpu(session, queued, register):
    register("w1")
    register("w2")
    for processes in (2, 2, 1):
        queued(processes)
    first, second = claims.claim_next(session, "w1"), claims.claim_next(session, "w2")
    assert sorted(devices(first) + devices(second)) == [0, 1, 2, 3]
    assert claims.claim_next(session, "w3") is not None  # on a machine without listed devices
    assert claims.claim_next(session, "w1") is None


def test_a_job_too_large_for_what_is_free_lets_a_smaller_one_pass(session, queued, register):
    register("w1")
    register("w2")
    queued(3)
    claims.claim_next(session, "w1")
    queued(2)
    small = queued(1)
    claimed = claims.claim_next(session, "w2")
    assert claimed
    assert (claimed.id, devices(claimed)) == (small.id, [3])


def test_devices_are_free_again_when_the_job_is_not_held(session, queued, register):
    register("w1")
    job = queued(4)
    claims.claim_next(session, "w1")
    known = workers.fleet(session)
    assert known.free_devices(known.workers[0]) == []
    claims.release(session, job.id, 1)
    known = workers.fleet(session)
    assert known.free_devices(known.workers[0]) == [0, 1, 2, 3]


def test_cores_are_shared(session, queued, register):
    register("w1", devices=[], cores=2)
    register("w2", devices=[], cores=2)
    queued(2)
    queued(2)
    assert claims.claim_next(session, "w1")
    assert claims.claim_next(session, "w2")


def test_a_job_that_was_let_go_has_no_place(session, queued, register):
    register("w1")
    job = queued(2)
    claims.claim_next(session, "w1")
    claims.lose(session, job.id, 1, "gone")
    assert job.placement == []


def test_a_cluster_places_jobs_itself(session, queued, register, settings_from):
    register("w1", devices=GPUS[:1])
    job = queued(4, nodes=2)
    assert claims.claim_next(session, "w1") is None
    settings_from(launcher="ray")
    assert claims.claim_next(session, "w1") is job
    name = f"oddsmith-{job.id}-g1"
    (place,) = job.placement
    assert (place["launcher"], place["name"], place["devices"]) == ("ray", name, [])


def test_a_worker_that_fell_silent_is_not_of_the_fleet(session, register):
    register("w1")
    register("w2")
    session.execute(text("UPDATE workers SET seen_at = seen_at - interval '1 hour' WHERE id='w1'"))
    assert [worker.id for worker in workers.fleet(session).workers] == ["w2"]
    workers.forget(session, "w2")
    assert workers.fleet(session).workers == []
    assert session.get(Worker, "w1") is not None  # it may have lost only its connection


@pytest.mark.parametrize(
    ("settings", "field", "sentence"),
    [
        ({"processes": 8}, "processes", "at most 4"),
        ({"processes": 4, "nodes": 2}, "nodes", "ODDSMITH_LAUNCHER to ray or slurm or kubernetes"),
    ],
)
def test_a_job_that_asks_for_more_than_there_is_is_refused_at_once(
    session, caller, register, settings, field, sentence
):
    register("w1")
    base, file = records.base_model(session, caller), records.file(session, caller)
    asked = jobs.NewJob(base.id, file.id, hyperparameters={"strategy": "ddp", **settings})
    with pytest.raises(Invalid, match=sentence) as caught:
        jobs.create(session, caller, asked)
    assert caught.value.param == f"method.orpo.hyperparameters.{field}"


def test_a_cluster_may_have_room_for_any_job(session, caller, register, settings_from):
    register("w1")
    settings_from(launcher="slurm")
    base, file = records.base_model(session, caller), records.file(session, caller)
    settings = {"strategy": "ddp", "processes": 64, "nodes": 8}
    assert jobs.create(session, caller, jobs.NewJob(base.id, file.id, hyperparameters=settings))


def test_without_workers_any_job_may_wait_for_one(session, caller):
    base, file = records.base_model(session, caller), records.file(session, caller)
    settings = {"strategy": "ddp", "processes": 64}
    assert jobs.create(session, caller, jobs.NewJob(base.id, file.id, hyperparameters=settings))


def test_a_waiting_job_knows_its_place(session, queued, register):
    register("w1")
    first, urgent, last = queued(), queued(priority=1), queued()
    found = waiting.places(session)
    assert [found[job.id].position for job in (urgent, first, last)] == [1, 2, 3]
    assert [found[job.id].starts_in_s for job in (urgent, first)] == [0, None]


def test_when_a_job_starts_follows_from_how_fast_others_were(session, queued, register):
    register("w1")
    prepared = {"steps": 10, "steps_per_epoch": 5, "train": {"tokens": 600}}
    done = queued(prepared=prepared)
    base = {"base_model": done.base_model, "prepared": prepared}
    _finish(session, done)
    running = queued(**base)
    claims.claim_next(session, "w1")
    claims.heartbeat(session, running.id, 1, {"step": 1, "steps": 10, "eta_s": 50.0})
    waits = [queued(**base), queued(**base)]
    found = waiting.places(session)
    starts = [found[job.id].starts_in_s for job in waits]
    assert starts == [50, pytest.approx(110, abs=2)]  # 1,200 tokens at 20 a second take a minute


def _finish(session, job: Job) -> None:
    claims.claim_next(session, "other")
    claims.start(session, job.id, 1)
    claims.finalize(session, job.id, 1)
    session.flush()
    claims.succeed(session, job.id, 1, model="ft:x", result_files=[])
    session.flush()
    job.trained_tokens = 1200
    session.flush()
    session.execute(
        text("UPDATE jobs SET started_at = finished_at - interval '60 seconds' WHERE id = :id"),
        {"id": job.id},
    )


def test_a_worker_counts_for_each_queue_that_it_serves_and_trains_for_one(session):
    workers.register(session, "a", host="a", cores=2, devices=[], queues=["files", "train"])
    workers.register(session, "b", host="b", cores=2, devices=[], queues=["files"])
    workers.register(session, "gone", host="c", cores=2, devices=[], queues=["serve"])
    session.execute(text("UPDATE workers SET seen_at = seen_at - interval '1 h' WHERE id = 'gone'"))
    assert workers.n_of_queues(session) == {"files": 2, "train": 1}
    assert [worker.id for worker in workers.fleet(session).workers] == ["a"]
