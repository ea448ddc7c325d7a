"""How long a verb may take, and what its timeout means: nothing yet."""

import json
import os

from models.jobs import JobState
from services import storage
from services.verbs import VerbError
from tests import records
from workers import jobs, preparation
from workers.process import time_for


def test_the_time_for_a_folder_grows_with_what_lies_in_it(tmp_path):
    assert time_for(tmp_path, 300) == 300
    (tmp_path / "sub").mkdir()
    with (tmp_path / "sub" / "weights").open("wb") as file:
        os.truncate(file.fileno(), 5_000_000_000)
    assert time_for(tmp_path, 300) == 1300


def test_a_preparation_that_took_too_long_is_tried_again(product, session, caller, monkeypatch):
    job = records.job(session, caller)
    session.commit()
    with storage.writing("x.rows") as rows:
        rows.writelines(b"%s\n" % json.dumps({"prompt": [n]}).encode() for n in range(8))
    limits = []

    def run_verb(verb, folder, *, timeout_s):
        limits.append(timeout_s)
        raise VerbError({"code": "timeout", "message": "orpo.prepare did not end within 600 s."})

    monkeypatch.setattr(preparation, "run_verb", run_verb)
    jobs.prepare_job(job.id)
    session.refresh(job)
    assert (job.state, job.attempts) == (JobState.VALIDATING_FILES, 1)
    assert limits[0] > preparation.PREPARE_S
