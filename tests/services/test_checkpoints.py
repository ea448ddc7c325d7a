"""The checkpoint from which a run resumes."""

import pytest

from models.jobs import JobState
from orpo.contract import manifest
from orpo.contract.rundir import MANIFEST
from services.jobs import claims
from services.runs import checkpoints
from tests import records


@pytest.fixture
def saved(product, session, caller):
    """Three checkpoints of a run, of which only the last two keep the optimizer's state."""
    job = records.job(session, caller, JobState.QUEUED)
    claims.claim_next(session, "w")
    found = [checkpoints.register(session, job.id, 1, records.saved(step)) for step in (1, 2, 3)]
    for place, checkpoint in enumerate(found):
        folder = checkpoints.folder(checkpoint)
        folder.mkdir(parents=True)
        manifest.write(folder, manifest.Manifest(checkpoint.step, 1, "0", "0", place > 0, {}))
    return found


def test_a_run_goes_on_from_the_newest_that_keeps_its_state(session, saved):
    job_id, (_, second, third) = saved[0].job_id, saved
    assert checkpoints.to_resume(session, job_id) is third
    checkpoints.mark_damaged(session, third.id)
    assert checkpoints.to_resume(session, job_id) is second


def test_a_run_without_any_such_checkpoint_begins_anew(session, saved):
    """Two damaged checkpoints must not end a job; the remaining one has only weights."""
    job_id, (first, second, third) = saved[0].job_id, saved
    checkpoints.mark_damaged(session, second.id)
    checkpoints.mark_damaged(session, third.id)
    assert checkpoints.to_resume(session, job_id) is None
    assert checkpoints.latest(session, job_id) is first  # it can still be served


def test_one_that_can_t_be_read_is_left_to_the_core_to_judge(session, saved):
    (checkpoints.folder(saved[2]) / MANIFEST).write_text("{")
    assert checkpoints.to_resume(session, saved[0].job_id) is saved[2]
