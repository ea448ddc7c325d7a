"""The worker around a deep audit: its end, its result, and what the next claim goes on with."""

import json
from typing import Any

import pytest

from models import File, Job
from models.jobs import JobState, Purpose
from orpo.contract import rundir
from services.platform import storage
from services.platform.settings import get_settings
from services.runs import deep_audits
from services.upkeep import leftovers
from tests import records
from tests.records import AUDITED, JUDGED
from workers import jobs, training
from workers.claim import describe

STARTED = {"steps": 5, "first_step": 1}


def event(type_: str, **data: Any) -> str:
    return json.dumps({"t": 0, "level": "info", "type": type_, "message": "", "data": data})


class Ended:
    """A training process that has ended."""

    waits_for = why = None

    def poll(self) -> int:
        return 0

    def kill(self) -> None:
        """Do nothing."""


@pytest.fixture
def queued(product, session, caller):
    """A prepared deep audit."""
    job = records.job(session, caller, JobState.QUEUED, purpose=Purpose.DEEP_AUDIT)
    folder = get_settings().runs_dir / job.id / rundir.DATA
    folder.mkdir(parents=True)
    (folder / rundir.TRAIN_ROWS).touch()
    session.commit()
    return job


def claim(job_id: str):
    claimed = jobs.claim_next("w")
    assert claimed
    assert claimed.id == job_id
    found = describe(claimed)
    assert found
    return found


def test_an_audit_ends_with_its_pairs_as_a_file_and_leaves_no_folder(queued, session, monkeypatch):
    def launch(run_dir, *_, verb, **__):
        assert verb == "deep_audit"
        lines = [event("started", **STARTED), event("audited", **AUDITED), event("finished")]
        (run_dir / rundir.EVENTS).write_text("".join(f"{line}\n" for line in lines))
        pairs = "".join(f"{json.dumps(pair)}\n" for pair in JUDGED)
        (run_dir / rundir.DEEP_AUDIT_PAIRS).write_text(pairs)
        records.write_judged(run_dir)
        return Ended()

    monkeypatch.setattr(training.launchers, "start", launch)
    training.train(claim(queued.id))
    session.refresh(queued)
    assert (queued.state, queued.estimate) == (JobState.SUCCEEDED, AUDITED)
    assert queued.fine_tuned_model is None
    file = session.get_one(File, queued.result_files[0])
    with storage.reading(file.storage_key) as lines:
        assert [json.loads(line) for line in lines] == JUDGED
    assert not (get_settings().runs_dir / queued.id).exists()


def test_the_next_claim_goes_on_with_the_parts_of_the_fullest_one(queued):
    root = get_settings().runs_dir / queued.id
    assert claim(queued.id).spec.resume_from is None
    for generation, parts in ((1, 3), (2, 1)):
        folder = rundir.generation(root, generation) / rundir.PARTS
        folder.mkdir(parents=True)
        for part in range(parts):
            (folder / f"part-{part}.npz").touch()
    fullest = rundir.generation(root, 1) / rundir.PARTS
    with_parts = training_claim(queued)
    assert with_parts.spec.resume_from == fullest


def training_claim(job: Job):
    """The claim of a job that a worker holds already."""
    found = describe(job)
    assert found
    return found


def test_parts_of_a_training_are_never_looked_for(queued, session):
    queued.purpose = Purpose.TRAIN
    session.commit()
    parts = rundir.generation(get_settings().runs_dir / queued.id, 1) / rundir.PARTS
    parts.mkdir(parents=True)
    (parts / "base.npz").touch()
    assert claim(queued.id).spec.resume_from is None


@pytest.mark.parametrize("linked", [rundir.DEEP_AUDIT_PAIRS, rundir.DEEP_AUDIT_FOUND])
def test_a_result_that_is_a_link_is_not_read(queued, session, tmp_path, linked):
    secret = tmp_path / "secret"
    secret.write_text("secret")
    for name in (rundir.DEEP_AUDIT_PAIRS, rundir.DEEP_AUDIT_FOUND):
        (tmp_path / name).touch()
    (tmp_path / linked).unlink()
    (tmp_path / linked).symlink_to(secret)
    claim(queued.id)
    with pytest.raises(OSError, match="is a link"):
        deep_audits.register(session, queued.id, 1, tmp_path, AUDITED)


def test_the_folder_of_an_ended_audit_is_a_leftover(product, session, caller):
    file = records.file(session, caller)
    audit = records.deep_audit(session, caller, file.id)
    session.commit()
    assert audit.id in leftovers.known(session).passing
