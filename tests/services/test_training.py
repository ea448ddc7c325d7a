"""The train worker around a run: what it claims, how it stops it, how it goes on."""

import json
import subprocess
import threading
from concurrent.futures import ThreadPoolExecutor

import pytest
from sqlalchemy import select

from models import Job, JobEvent
from models.jobs import JobState
from orpo.spec import RunSpec, write_spec
from services import claims
from services.settings import get_settings
from services.verbs import environment
from tests import records
from workers import jobs, training
from workers.process import TrainingProcess
from workers.tail import RunTail


def prepared(session, caller):
    job = records.job(session, caller, JobState.QUEUED)
    folder = get_settings().runs_dir / job.id / "data"
    rows = folder / "train.jsonl"
    spec = RunSpec.model_validate(
        {
            "job_id": job.id, "base_model": job.base_model, "base_model_path": "/nowhere",
            "train_path": rows, "method": job.method, "seed": 0,
        }
    )  # fmt: skip
    write_spec(spec, folder)
    return job


@pytest.mark.parametrize("content", [None, "{}"])
def test_a_job_without_usable_data_fails_and_the_next_one_is_trained(
    product, session, caller, monkeypatch, content
):
    broken, sound = prepared(session, caller), prepared(session, caller)
    session.commit()
    spec = get_settings().runs_dir / broken.id / "data" / "spec.json"
    spec.unlink() if content is None else spec.write_text(content)
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
    """A training process whose rank is there to hear a stop at the third time only."""

    asked = 0

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
    job = prepared(session, caller)
    claims.claim_next(session, "w")
    session.commit()
    claim = training.describe(session.get_one(Job, job.id))
    assert claim is not None
    claim.run_dir.mkdir()
    draining = threading.Event()
    draining.set()
    monkeypatch.setattr(training, "draining", draining)
    process, tail = LateRank(), RunTail(claim.run_dir, job.id, 1)
    deadline = claim.run_dir / "deadline"
    training.Supervision(claim, process, tail, deadline).follow()  # pyright: ignore[reportArgumentType]
    assert process.asked == 3


def test_a_training_that_falls_silent_is_ended_and_tried_again(
    product, session, caller, settings_from
):
    settings_from(stall_s=0.5)
    job = prepared(session, caller)
    claims.claim_next(session, "w")
    session.commit()
    claim = training.describe(session.get_one(Job, job.id))
    assert claim is not None
    claim.run_dir.mkdir()
    started = {"t": 0, "type": "started", "message": "Started.", "data": {"steps": 9}}
    (claim.run_dir / "events.jsonl").write_text(json.dumps(started) + "\n")
    mark = str(claim.run_dir)
    silent = TrainingProcess(subprocess.Popen(["sleep", "60"], env=environment(mark)), mark)
    tail = RunTail(claim.run_dir, job.id, 1)
    supervision = training.Supervision(claim, silent, tail, claim.run_dir / "deadline")
    supervision.follow()
    assert silent.poll() is not None
    training._conclude(claim, supervision)
    session.refresh(job)
    assert (job.state, job.attempts) == (JobState.QUEUED, 1)
    assert "wrote nothing" in supervision.last_words()
