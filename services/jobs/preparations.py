"""A job's state `validating_files`: each transition out of it is one step in the caller's
transaction.

Knows nothing of the data that is prepared, nor of the worker that prepares it.
"""

from typing import Any

from sqlalchemy import func
from sqlalchemy.orm import Session

from models import Job
from models.jobs import DesiredState, JobState
from orpo.contract.failures import Code
from services.jobs import attempts, errors
from services.platform.queue import Task, send
from services.webhooks import events


def awaited(session: Session, job_id: str) -> Job | None:
    """Lock and return the job if it is still to be prepared; None if it moved on."""
    job = session.get_one(Job, job_id, with_for_update=True)
    return job if job.state == JobState.VALIDATING_FILES else None


def succeed(session: Session, job: Job, prepared: dict[str, Any]) -> None:
    """validating_files -> queued, or paused if that was requested. `prepared` is storable.

    The attempts that were charged so far were the preparation's: the training starts with none.
    """
    job.prepared = prepared
    job.attempts, job.available_at = 0, None
    attempts.forget(job)
    job.state = JobState.QUEUED
    session.flush()
    if job.desired_state == DesiredState.PAUSE:
        job.state = JobState.PAUSED
    else:
        send(session, Task.TRAIN)


def fail(session: Session, job: Job, error: dict[str, Any]) -> None:
    """validating_files -> failed. `error` is the core's: {"code", "message", "hint", "param"}."""
    attempts.forget(job)
    job.error = errors.of_core(error, "The data could not be prepared.")
    job.state = JobState.FAILED
    job.finished_at = func.clock_timestamp()
    events.announce(session, job)


def lose(session: Session, job: Job, reason: str) -> None:
    """Charge an unexpected failure; the keeper sends the job again, unless no attempt is left."""
    if attempts.charge(job):
        attempts.postpone(session, job, f"Preparing the data failed: {reason}")
    else:
        message = f"Preparing the data failed {job.attempts} times: {reason}"
        fail(session, job, {"code": Code.INTERNAL, "message": message})
