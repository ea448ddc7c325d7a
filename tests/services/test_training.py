"""The train worker around a run: what it claims, how it stops it, how it goes on."""

import json
import threading

import pytest

from models import Job
from models.jobs import JobState
from orpo.spec import RunSpec, write_spec
from services import claims
from services.settings import get_settings
from tests import records
from workers import jobs, tail, training
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


def test_the_lease_is_held_while_much_is_left_to_store(
    product, session, caller, monkeypatch, settings_from
):
    settings_from(heartbeat_s=0.001)
    job = prepared(session, caller)
    claims.claim_next(session, "w")
    session.commit()
    claim = training.describe(session.get_one(Job, job.id))
    assert claim is not None
    claim.run_dir.mkdir()
    monkeypatch.setattr(tail, "LINES_A_BATCH", 1)
    line = {"t": 0.0, "split": "train", "values": {"loss": 1.0}}
    with (claim.run_dir / "metrics.jsonl").open("w") as file:
        file.writelines(f"{json.dumps({'step': step} | line)}\n" for step in range(5))
    run = RunTail(claim.run_dir, job.id, 1)
    supervision = training.Supervision(claim, LateRank(), run, claim.run_dir / "deadline")  # pyright: ignore[reportArgumentType]
    leases = []

    def note():
        supervision.renew_when_due()
        session.refresh(job)
        leases.append(job.lease_until)
        session.commit()

    run.drain(note)
    assert run.progress["step"] == 4
    assert len(set(leases)) == 5
