"""A worker's hold on a job: claim, lease, and every write that the hold allows.

Each function is one step in the caller's transaction. A claim raises the job's generation;
a later write carries it and succeeds only while it matches and the lease holds by the
database's clock. Otherwise `Fenced` is raised: somebody else has the job, stop.
"""

from datetime import timedelta
from typing import Any

from sqlalchemy import func, select
from sqlalchemy.orm import Session, aliased

from models import Job
from models.jobs import DesiredState, JobState
from services import attempts
from services.errors import Fenced
from services.jobs import HELD
from services.queue import Task, send
from services.settings import get_settings


def claim_next(session: Session, worker: str) -> Job | None:
    """Claim the best queued job for `worker` (priority, then fewest running of its key, then age).

    Returns None when there is nothing to do: the message that woke the worker was late or doubled.
    """
    twin = aliased(Job)
    running_of_key = (
        select(func.count())
        .where(twin.api_key_id == Job.api_key_id, twin.state.in_(HELD))
        .scalar_subquery()
    )
    job = session.scalar(
        select(Job)
        .where(
            Job.state == JobState.QUEUED,
            Job.desired_state == DesiredState.RUN,
            func.coalesce(Job.available_at, Job.created_at) <= func.clock_timestamp(),
        )
        .order_by(Job.priority.desc(), running_of_key, Job.created_at)
        .limit(1)
        .with_for_update(of=Job, skip_locked=True)
    )
    if job is None:
        return None
    job.state = JobState.CLAIMED
    job.generation += 1
    job.worker = worker
    job.lease_until = _lease()
    session.flush()
    return job


def held(session: Session, job_id: str, generation: int) -> Job:
    """Lock and return the job if this generation still holds it, else raise Fenced."""
    job = session.scalar(
        select(Job)
        .where(
            Job.id == job_id,
            Job.generation == generation,
            Job.state.in_(HELD),
            Job.lease_until > func.clock_timestamp(),
        )
        .with_for_update()
    )
    if job is None:
        raise Fenced(f"Generation {generation} does not hold the job {job_id} any more.")
    return job


def heartbeat(
    session: Session, job_id: str, generation: int, progress: dict[str, Any] | None = None
) -> DesiredState:
    """Renew the lease, store the progress, and return what a person wants of the job."""
    job = held(session, job_id, generation)
    job.lease_until = _lease()
    if progress is not None:
        job.progress = progress
        job.trained_tokens = progress.get("trained_tokens", job.trained_tokens)
    return DesiredState(job.desired_state)


def start(session: Session, job_id: str, generation: int) -> None:
    """The training process runs: claimed -> running."""
    job = held(session, job_id, generation)
    job.state = JobState.RUNNING
    job.started_at = job.started_at or func.clock_timestamp()


def finalize(session: Session, job_id: str, generation: int) -> bool:
    """Training has ended: running -> finalizing. False if a cancel was accepted before."""
    job = held(session, job_id, generation)
    if job.desired_state == DesiredState.CANCEL:
        return False
    if job.state == JobState.CLAIMED:
        # A run that ended between two heartbeats was never seen running.
        start(session, job_id, generation)
        session.flush()
    job.state = JobState.FINALIZING
    return True


def succeed(
    session: Session, job_id: str, generation: int, *, model: str, result_files: list[str]
) -> None:
    """finalizing -> succeeded, with the name under which the result can be served."""
    job = held(session, job_id, generation)
    job.fine_tuned_model = model
    job.result_files = result_files
    _end(job, JobState.SUCCEEDED)


def fail(session: Session, job_id: str, generation: int, error: dict[str, Any]) -> None:
    """End the job for good. `error` is {"code", "message", "param"}; the message is a sentence."""
    job = held(session, job_id, generation)
    job.error = error
    _end(job, JobState.FAILED)


def release(session: Session, job_id: str, generation: int) -> JobState:
    """Give the job back after an orderly stop, as its desired state says; no attempt is charged."""
    job = held(session, job_id, generation)
    _let_go(session, job)
    return JobState(job.state)


def lose(session: Session, job_id: str, generation: int, reason: str) -> JobState:
    """The training died without an end: try again, or fail once too many claims were lost."""
    job = held(session, job_id, generation)
    _lost(session, job, reason)
    return JobState(job.state)


def reap(session: Session, limit: int = 50) -> list[str]:
    """Take back every job whose lease has run out and return their ids."""
    lost = session.scalars(
        select(Job)
        .where(Job.state.in_(HELD), Job.lease_until < func.clock_timestamp())
        .limit(limit)
        .with_for_update(skip_locked=True)
    ).all()
    for job in lost:
        _lost(session, job, f"The worker {job.worker} stopped answering.")
    return [job.id for job in lost]


def _lost(session: Session, job: Job, reason: str) -> None:
    may_retry = attempts.charge(job)
    if job.desired_state == DesiredState.RUN and not may_retry:
        job.error = {
            "code": "attempts_exhausted",
            "message": f"The training was lost {job.attempts} times without a new checkpoint "
            f"between. The last reason: {attempts.sentence(reason)} The log of the run has more.",
            "param": None,
        }
        _end(job, JobState.FAILED)
        return
    attempts.postpone(session, job, reason)
    _let_go(session, job)


def _let_go(session: Session, job: Job) -> None:
    if job.state == JobState.FINALIZING:
        # From there the table leads to a pause only by way of the queue.
        job.state = JobState.QUEUED
        session.flush()
    if job.desired_state == DesiredState.CANCEL:
        _end(job, JobState.CANCELLED)
        return
    job.worker = None
    job.lease_until = None
    if job.desired_state == DesiredState.PAUSE:
        job.state = JobState.PAUSED
    else:
        job.state = JobState.QUEUED
        send(session, Task.TRAIN)
    session.flush()


def _end(job: Job, state: JobState) -> None:
    attempts.forget(job)
    job.state = state
    job.worker = None
    job.lease_until = None
    job.finished_at = func.clock_timestamp()


def _lease() -> Any:
    return func.clock_timestamp() + timedelta(seconds=get_settings().lease_s)
