"""How long a verb may take, and what its timeout means: nothing yet."""

import json
import os
import signal
import threading
from types import SimpleNamespace

import psutil
import pytest

from models.jobs import JobState
from services import jobs as job_service
from services import storage, verbs
from services.verbs import VerbError
from tests import records
from tests.api.fake_engine import wait_until
from workers import preparation, preparing
from workers.process import time_for


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

    monkeypatch.setattr(preparation, "run_verb", run_verb)
    preparing.prepare()
    session.refresh(job)
    assert (job.state, job.attempts) == (JobState.VALIDATING_FILES, 1)
    assert limits[0] > preparation.PREPARE_S
    assert job.progress
    assert job.progress["retry"]["reason"].endswith(": orpo.prepare did not end within 600 s.")


@pytest.fixture
def slow(tmp_path, monkeypatch):
    """A core that says nothing for half a minute; gives the file with its process id."""
    python, pid = tmp_path / "python", tmp_path / "pid"
    python.write_text(f"#!/bin/sh\necho $$ > {pid}\nexec sleep 30\n")
    python.chmod(0o700)
    monkeypatch.setattr(verbs, "get_settings", lambda: SimpleNamespace(train_python=str(python)))
    return pid


def test_a_verb_that_takes_too_long_is_ended(slow):
    looked = []
    with pytest.raises(VerbError) as caught:
        verbs.run_verb("prepare", timeout_s=1.2, meanwhile=lambda: looked.append(1))
    assert caught.value.error["code"] == "timeout"
    assert len(looked) == 2
    assert not psutil.pid_exists(int(slow.read_text()))


def test_a_verb_does_not_outlive_who_waits_for_it(slow):
    def interrupt():
        raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        verbs.run_verb("prepare", meanwhile=interrupt)
    assert not psutil.pid_exists(int(slow.read_text()))


def prepare_in_thread(job, slow):
    """Begin to prepare a job with a core that says nothing; return once that has started."""
    with storage.writing("x.rows") as rows:
        rows.writelines(b"%s\n" % json.dumps({"prompt": [n]}).encode() for n in range(8))
    thread = threading.Thread(target=preparation.prepare, args=(job.id,), daemon=True)
    thread.start()
    assert wait_until(slow.exists)
    return thread


def test_cancelling_a_job_ends_its_preparation(product, session, caller, slow):
    job = records.job(session, caller)
    session.commit()
    thread = prepare_in_thread(job, slow)
    job_service.cancel(session, caller, job.id)
    session.commit()
    thread.join(15)
    assert not thread.is_alive()
    assert not psutil.pid_exists(int(slow.read_text()))
    session.refresh(job)
    assert (job.state, job.attempts) == (JobState.CANCELLED, 0)


def test_a_preparation_that_stands_still_is_ended(product, session, caller, slow, monkeypatch):
    settings = preparation.get_settings().model_copy(update={"prepare_stall_s": 0.1})
    monkeypatch.setattr(preparation, "get_settings", lambda: settings)
    job = records.job(session, caller)
    with storage.writing("x.rows") as rows:
        rows.writelines(b"%s\n" % json.dumps({"prompt": [n]}).encode() for n in range(8))
    session.commit()
    with pytest.raises(VerbError) as caught:
        preparation.prepare(job.id)
    assert caught.value.is_fleeting
    assert "stood still" in str(caught.value)
    assert not psutil.pid_exists(int(slow.read_text()))


def test_a_verb_that_is_killed_says_nothing_of_its_data(slow):
    def kill():
        if slow.exists():
            os.kill(int(slow.read_text()), signal.SIGKILL)

    with pytest.raises(VerbError) as caught:
        verbs.run_verb("prepare", timeout_s=20, meanwhile=kill)
    assert caught.value.error["code"] == "killed"
    assert str(caught.value) == "orpo.prepare was ended by SIGKILL."
