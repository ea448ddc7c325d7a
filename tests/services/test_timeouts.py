"""The time limit of a verb; a timeout is not final: the job is tried again."""

import json
import os
import threading
from types import SimpleNamespace

import pytest

from cli.stack.process import wait_until
from models.jobs import JobState
from services.jobs import jobs as job_service
from services.platform import storage
from services.platform.settings import get_settings
from services.processes import verbs
from services.processes.process_tree import find
from services.processes.verbs import VerbError, time_for
from tests import records
from tests.processes import those
from workers import preparations, prepare_queue


def test_the_time_for_a_folder_grows_with_what_lies_in_it(tmp_path):
    assert time_for(tmp_path, 300) == 300
    (tmp_path / "sub").mkdir()
    with (tmp_path / "sub" / "weights").open("wb") as file:
        os.truncate(file.fileno(), 5_000_000_000)
    assert time_for(tmp_path, 300) == 1300


@pytest.mark.parametrize("code", ["timeout", "killed", "internal"])
def test_a_preparation_that_was_cut_short_is_tried_again(
    product, session, caller, monkeypatch, code
):
    job = records.job(session, caller)
    session.commit()
    with storage.writing("x.rows") as rows:
        rows.writelines(b"%s\n" % json.dumps({"prompt": [n]}).encode() for n in range(8))
    limits = []

    def run_verb(verb, folder, *, timeout_s, meanwhile):
        limits.append(timeout_s)
        raise VerbError({"code": code, "message": "orpo.prepare did not end within 600 s."})

    monkeypatch.setattr(preparations, "run_verb", run_verb)
    prepare_queue.prepare()
    session.refresh(job)
    assert (job.state, job.attempts) == (JobState.VALIDATING_FILES, 1)
    assert limits[0] > preparations.PREPARE_S
    assert job.progress
    assert job.progress["retry"]["reason"].endswith(": orpo.prepare did not end within 600 s.")


@pytest.fixture
def slow(tmp_path, monkeypatch):
    """A core that hangs for 30 s; return its mark and a function that lists its processes."""
    python = tmp_path / "python"
    python.write_text("#!/bin/sh\nexec sleep 30\n")
    python.chmod(0o700)
    monkeypatch.setattr(verbs, "get_settings", lambda: SimpleNamespace(train_python=str(python)))
    mark = str(tmp_path / "model")
    return mark, lambda: sleeping(f"orpo.prepare {mark}")


def sleeping(mark):
    """The live processes of a slow core whose arguments hold `mark`."""
    return those(find(mark), lambda process: process.name() == "sleep")


@pytest.mark.slow
def test_a_verb_that_takes_too_long_is_ended(slow):
    mark, alive = slow
    looked = []
    with pytest.raises(VerbError) as caught:
        verbs.run_verb("prepare", mark, timeout_s=1.2, meanwhile=lambda: looked.append(alive()))
    assert caught.value.error["code"] == "timeout"
    assert len(looked) == 2
    assert all(looked)
    assert wait_until(lambda: not alive(), timeout_s=5)


def test_a_verb_does_not_outlive_who_waits_for_it(slow):
    mark, alive = slow

    def interrupt():
        raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        verbs.run_verb("prepare", mark, meanwhile=interrupt)
    assert wait_until(lambda: not alive(), timeout_s=5)


def prepares(job):
    """A function that lists the processes that prepare a job."""
    mark = f"orpo.prepare {get_settings().runs_dir / job.id / 'data'}"
    return lambda: sleeping(mark)


def prepare_in_thread(job, alive):
    """Begin to prepare a job with a hanging core; return once the core has started."""
    with storage.writing("x.rows") as rows:
        rows.writelines(b"%s\n" % json.dumps({"prompt": [n]}).encode() for n in range(8))
    thread = threading.Thread(target=preparations.prepare, args=(job.id,), daemon=True)
    thread.start()
    assert wait_until(alive, timeout_s=10)
    return thread


def test_cancelling_a_job_ends_its_preparation(product, session, caller, slow):
    job = records.job(session, caller)
    session.commit()
    alive = prepares(job)
    thread = prepare_in_thread(job, alive)
    job_service.cancel(session, caller, job.id)
    session.commit()
    thread.join(15)
    assert not thread.is_alive()
    assert wait_until(lambda: not alive(), timeout_s=5)
    session.refresh(job)
    assert (job.state, job.attempts) == (JobState.CANCELLED, 0)


def test_a_preparation_that_stands_still_is_ended(product, session, caller, slow, monkeypatch):
    settings = preparations.get_settings().model_copy(update={"prepare_stall_s": 0.1})
    monkeypatch.setattr(preparations, "get_settings", lambda: settings)
    job = records.job(session, caller)
    with storage.writing("x.rows") as rows:
        rows.writelines(b"%s\n" % json.dumps({"prompt": [n]}).encode() for n in range(8))
    session.commit()
    with pytest.raises(VerbError) as caught:
        preparations.prepare(job.id)
    assert caught.value.is_fleeting
    assert "stood still" in str(caught.value)
    assert wait_until(lambda: not prepares(job)(), timeout_s=5)


def test_a_verb_that_is_killed_says_nothing_of_its_data(slow):
    mark, alive = slow

    def kill():
        for process in alive():
            process.kill()

    with pytest.raises(VerbError) as caught:
        verbs.run_verb("prepare", mark, timeout_s=20, meanwhile=kill)
    assert caught.value.error["code"] == "killed"
    assert str(caught.value) == "orpo.prepare was ended by SIGKILL."
