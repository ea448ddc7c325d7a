"""The train worker around a run: claiming, stopping and resuming."""

import errno
import json
import shutil
import subprocess
import threading
from concurrent.futures import ThreadPoolExecutor
from typing import Any

import pytest
from sqlalchemy import select

from models import Job, JobEvent
from models.jobs import JobState, Purpose
from services.jobs import claims
from services.launchers.local import TrainingProcess
from services.platform.settings import get_settings
from services.processes import sandbox
from services.processes.verbs import environment
from services.runs import follow
from tests import records
from workers import jobs, supervision, training
from workers.claim import describe
from workers.supervision import Supervision
from workers.tail import RunTail


def prepared(session, caller):
    job = records.job(session, caller, JobState.QUEUED)
    folder = get_settings().runs_dir / job.id / "data"
    folder.mkdir(parents=True)
    (folder / "train.jsonl").touch()
    return job


def claimed(session, caller):
    """A prepared and claimed job, and its claim with a run directory."""
    job = prepared(session, caller)
    claims.claim_next(session, "w")
    session.commit()
    claim = describe(session.get_one(Job, job.id))
    assert claim is not None
    claim.run_dir.mkdir()
    return job, claim


def test_all_jobs_keep_their_tokens_in_one_place(product, session, caller):
    assert claimed(session, caller)[1].spec.tokens_path == get_settings().runs_dir / "tokens"


def test_a_job_whose_data_is_gone_fails_and_the_next_one_is_trained(
    product, session, caller, monkeypatch
):
    broken, sound = prepared(session, caller), prepared(session, caller)
    session.commit()
    shutil.rmtree(get_settings().runs_dir / broken.id)
    trained = []
    monkeypatch.setattr(training, "train", trained.append)
    jobs.train()
    assert [claim.job_id for claim in trained] == [sound.id]
    session.refresh(broken)
    assert broken.state == JobState.FAILED
    assert broken.error
    assert "create the job again" in broken.error["message"]


def test_one_message_five_times_to_two_workers_is_one_claim(product, session, caller, monkeypatch):
    job = prepared(session, caller)
    session.commit()
    trained = []
    monkeypatch.setattr(training, "train", trained.append)
    with ThreadPoolExecutor(2) as workers:
        for woken in [workers.submit(jobs.train) for _ in range(5)]:
            woken.result()
    assert [(claim.job_id, claim.generation) for claim in trained] == [(job.id, 1)]
    events = select(JobEvent).where(JobEvent.data["state"].astext == JobState.CLAIMED)
    assert len(session.scalars(events).all()) == 1


class LateRank:
    """A training process whose rank gets only the third request to stop."""

    asked = 0
    waits_for = why = None

    def renew(self):
        """It has no deadline."""

    def poll(self):
        return 1 if self.asked == 3 else None

    def ask_to_stop(self):
        self.asked += 1
        return self.asked == 3

    def kill(self):
        pytest.fail("killed before it heard that it should stop")


def test_a_stop_is_repeated_until_a_rank_hears_it(
    product, session, caller, monkeypatch, settings_from
):
    settings_from(drain_s=3)
    job, claim = claimed(session, caller)
    draining = threading.Event()
    draining.set()
    monkeypatch.setattr(supervision, "draining", draining)
    process, tail = LateRank(), RunTail(claim.run_dir, job.id, 1)
    Supervision(claim, process, tail).follow()  # pyright: ignore[reportArgumentType]
    assert process.asked == 3


class Ended:
    """A training process that has written its events and ended."""

    waits_for = why = None

    def __init__(self, code=4):
        self.code = code

    def poll(self):
        return self.code

    def kill(self):
        """Do nothing: the process has ended."""


def event(type_, message="", **data):
    return json.dumps({"t": 0, "level": "info", "type": type_, "message": message, "data": data})


@pytest.fixture
def trained(product, session, caller, monkeypatch):
    """Let a claimed job's training end with these events, and return the job."""

    def run(*events, exit_code=4, **fields):
        job = prepared(session, caller)
        for name, value in fields.items():
            setattr(job, name, value)
        session.commit()

        def launch(run_dir, *_, **__):
            (run_dir / "events.jsonl").write_text("".join(f"{line}\n" for line in events))
            return Ended(exit_code)

        monkeypatch.setattr(training.launchers, "start", launch)
        claimed = jobs.claim_next("w")
        assert claimed
        assert claimed.id == job.id
        claim = describe(claimed)
        assert claim
        training.train(claim)
        session.refresh(job)
        return job

    return run


STARTED: dict[str, Any] = {"steps": 5, "first_step": 1, "token_budget": 8192, "longest": 900}
OUT_OF_MEMORY = event("error", "The device ran out of memory.", code="out_of_memory", hint="")


def test_a_job_that_ran_out_of_memory_goes_on_with_half_the_tokens(trained, session, caller):
    job = trained(event("started", **STARTED), OUT_OF_MEMORY)
    assert (job.state, job.attempts, job.prepared["token_budget"]) == (JobState.QUEUED, 0, 4096)
    messages = session.scalars(select(JobEvent.message).where(JobEvent.job_id == job.id)).all()
    assert "Out of memory; again with 4,096 tokens in a forward pass." in messages
    again = jobs.claim_next("w")
    assert again
    claim = describe(again)
    assert claim
    assert claim.spec.method.token_budget == 4096


def test_a_job_that_was_ended_for_its_memory_goes_on_with_less(trained):
    job = trained(event("started", **STARTED), exit_code=sandbox.TOO_MUCH_MEMORY)
    assert (job.state, job.attempts, job.prepared["token_budget"]) == (JobState.QUEUED, 0, 4096)


def test_a_job_that_was_ended_for_its_memory_before_it_began_fails(trained):
    job = trained(exit_code=sandbox.TOO_MUCH_MEMORY)
    assert job.state == JobState.FAILED
    assert job.error["code"] == "out_of_memory"
    assert job.error["message"].startswith("Ended: it took too much memory. ")


def test_a_job_that_started_too_many_processes_is_not_tried_again(trained):
    job = trained(event("started", **STARTED), exit_code=sandbox.TOO_MANY_PROCESSES)
    assert (job.state, job.error["code"]) == (JobState.FAILED, "limit")


@pytest.mark.parametrize("events", [(), (event("started", "", **STARTED | {"longest": 9000}),)])
def test_a_job_whose_longest_pair_is_too_large_for_the_device_fails(trained, events):
    job = trained(*events, OUT_OF_MEMORY)
    assert job.state == JobState.FAILED
    assert job.error["code"] == "out_of_memory"


def test_an_estimate_ends_with_what_was_measured_and_leaves_no_files(trained, caller):
    job = trained(
        event("started", **STARTED),
        event("estimated", steps=5),
        event("finished"),
        purpose=Purpose.ESTIMATE,
    )
    assert (job.state, job.estimate, job.fine_tuned_model) == (
        JobState.SUCCEEDED,
        {"steps": 5},
        None,
    )
    assert not (get_settings().runs_dir / job.id).exists()


def test_the_lease_is_held_while_much_is_left_to_store(
    product, session, caller, monkeypatch, settings_from
):
    settings_from(heartbeat_s=0.001)
    job, claim = claimed(session, caller)
    monkeypatch.setattr(follow, "LINES_A_BATCH", 1)
    line = {"t": 0.0, "split": "train", "values": {"loss": 1.0}}
    with (claim.run_dir / "metrics.jsonl").open("w") as file:
        file.writelines(f"{json.dumps({'step': step} | line)}\n" for step in range(5))
    run = RunTail(claim.run_dir, job.id, 1)
    supervision = Supervision(claim, LateRank(), run)  # pyright: ignore[reportArgumentType]
    leases = []

    def note():
        supervision.renew_when_due()
        session.refresh(job)
        leases.append(job.lease_until)
        session.commit()

    run.drain(note)
    assert run.progress["step"] == 4
    assert len(set(leases)) == 5


@pytest.mark.parametrize("begun", [True, False], ids=["begun", "loading"])
def test_a_training_that_falls_silent_is_ended_and_tried_again(
    product, session, caller, settings_from, begun
):
    settings_from(**{"stall_s" if begun else "start_s": 0.5})
    job, claim = claimed(session, caller)
    if begun:
        started = {"t": 0, "type": "started", "message": "Started.", "data": {"steps": 9}}
        (claim.run_dir / "events.jsonl").write_text(json.dumps(started) + "\n")
    mark = str(claim.run_dir)
    silent = TrainingProcess(subprocess.Popen(["sleep", "60"], env=environment(mark)), mark)
    tail = RunTail(claim.run_dir, job.id, 1)
    supervision = Supervision(claim, silent, tail)
    supervision.follow()
    assert silent.poll() is not None
    training._conclude(claim, supervision)
    session.refresh(job)
    assert (job.state, job.attempts) == (JobState.QUEUED, 1)
    assert "wrote nothing" in supervision.last_words()


def test_what_a_worker_can_t_make_sense_of_is_the_reason_on_the_job(trained, session):
    """The job is requeued before its lease expires, without an event about a lost worker."""
    job = trained(json.dumps({"t": 0, "message": "An event of no type."}))
    assert (job.state, job.attempts, job.worker) == (JobState.QUEUED, 1, None)
    assert job.progress["retry"]["reason"] == "The worker could not go on (KeyError: 'type')."


def test_prepared_data_that_can_t_be_read_just_now_is_no_end(product, session, caller, monkeypatch):
    job = prepared(session, caller)
    session.commit()

    def spec_of(*_):
        raise OSError(errno.EIO, "Input/output error")

    monkeypatch.setattr("workers.claim.spec_of", spec_of)
    jobs.train()
    session.refresh(job)
    assert (job.state, job.attempts > 0) == (JobState.QUEUED, True)
    assert job.progress
    assert "Input/output error" in job.progress["retry"]["reason"]
