"""A worker's hold on a job: claim, lease, and every write that the hold allows.

Each function is one step in the caller's transaction. A claim raises the job's generation. A later
write carries that generation. It succeeds only while the generation matches and the lease has not
expired by the database's clock. Otherwise it raises `Fenced`: another worker may have the job, and
the caller must stop.
"""

from collections.abc import Set
from datetime import timedelta
from typing import Any

from sqlalchemy import Subquery, func, select, update
from sqlalchemy.orm import Session

from models import ApiKey, Job
from models.jobs import EVALUATED, HELD, TRAINED, DesiredState, JobState, Purpose
from orpo.contract.failures import Code
from orpo.contract.spec import VERSION
from services.jobs import attempts, errors, promotion
from services.jobs.workers import Fleet, fleet
from services.launchers import launchers
from services.platform.errors import Fenced
from services.platform.queue import Task, send
from services.platform.settings import get_settings
from services.platform.turns import account_of
from services.webhooks import events

NODES = func.coalesce(Job.method["nodes"].as_integer(), 1)
PROCESSES = func.coalesce(Job.method["processes"].as_integer(), 1)
ACCOUNT = account_of(Job)
# Jobs of a newer release are left to its workers: this release might not know their settings.
READABLE = Job.spec_version <= VERSION
# A locked row is read again, even if the session has read it before. In the fleet, which was read
# earlier, a job that was taken back meanwhile is still held.
ANEW = {"populate_existing": True}


def claim_next(session: Session, worker: str, purposes: Set[Purpose] = TRAINED) -> Job | None:
    """Claim the next queued job for `worker`: keys take turns, each with its own most urgent job.

    `purposes` are those that the worker's queue is for. Without a cluster, the job must fit the
    worker's devices. Returns None if there is nothing to do: the message that woke the worker was
    late or a duplicate.
    """
    known, shares = fleet(session, asking=worker), shares_of_keys(purposes)
    job = session.scalar(
        select(Job)
        .join(shares, shares.c.account == ACCOUNT)
        .where(
            Job.state == JobState.QUEUED,
            Job.purpose.in_(purposes),
            Job.desired_state == DesiredState.RUN,
            func.coalesce(Job.available_at, Job.created_at) <= func.clock_timestamp(),
            READABLE,
            *(_fits(known, worker) if TRAINED & purposes else ()),
        )
        .order_by(*claim_order(shares))
        .limit(1)
        .with_for_update(of=Job, skip_locked=True)
        .execution_options(**ANEW)
    )
    if job is None:
        return None
    job.state = JobState.CLAIMED
    job.generation += 1
    job.worker = worker
    job.lease_until = _lease()
    job.placement = [_place(known, worker, job)]
    _note_served(session, job)
    session.flush()
    return job


def _note_served(session: Session, job: Job) -> None:
    """Store in the job's key that it is served now.

    If another claim has locked the key's row, that claim does so. To wait for it would let a worker
    that freezes in its claim hold up all jobs of the key.
    """
    key = select(ApiKey.id).where(ApiKey.id == job.api_key_id)
    session.execute(
        update(ApiKey)
        .where(ApiKey.id.in_(key.with_for_update(key_share=True, skip_locked=True)))
        .values(served_at=func.clock_timestamp())
        .execution_options(synchronize_session=False)
    )


def shares_of_keys(purposes: Set[Purpose] = TRAINED) -> Subquery:
    """For each key, the number of its running jobs and the time since which it waits, counting
    jobs with these purposes.

    The time is the last claim of one of its jobs or the creation of its first queued job, whichever
    is later. The key's own row holds the former, so deleting jobs does not shorten a key's wait.
    """
    first_queued_at = func.min(Job.created_at).filter(Job.state == JobState.QUEUED)
    columns = (
        ACCOUNT.label("account"),
        func.count().filter(Job.state.in_(HELD)).label("running"),
        func.greatest(func.max(ApiKey.served_at), first_queued_at).label("waits_since"),
    )
    of_key = Job.api_key_id == ApiKey.id
    of_queue = select(*columns).outerjoin(ApiKey, of_key).where(Job.purpose.in_(purposes))
    return of_queue.group_by(ACCOUNT).subquery()


def claim_order(shares: Subquery) -> tuple[Any, ...]:
    """Return the order in which queued jobs are claimed.

    First comes the key with the fewest running jobs, then the key that waits longest. The jobs of
    one key are ordered by priority, then by age. So another key's jobs don't wait for a key that
    has many jobs, urgent jobs or estimates.
    """
    return shares.c.running, shares.c.waits_since, Job.priority.desc(), Job.created_at


def _fits(known: Fleet, worker: str) -> list[Any]:
    """Conditions on a job's size. A cluster places jobs itself. On this machine there is one node,
    and with GPUs each rank needs one of its own; cores are shared.
    """
    if not launchers.is_local():
        return []
    place = known.find(worker)
    if place is None or not place.devices:
        return [NODES == 1]
    return [NODES == 1, len(known.free_devices(place)) >= PROCESSES]


def _place(known: Fleet, worker: str, job: Job) -> dict[str, Any]:
    place = known.find(worker)
    found = {"worker": worker, "host": place.host if place else None, "devices": []}
    if job.purpose in EVALUATED:
        return found
    if not launchers.is_local():
        launcher, name = get_settings().launcher, launchers.name_of(job.id, job.generation)
        return found | {"launcher": launcher, "name": name, "waits_for": None}
    wanted = job.method.get("processes", 1)
    return found | {"devices": known.free_devices(place)[:wanted] if place else []}


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
        .execution_options(**ANEW)
    )
    if job is None:
        raise Fenced(f"Generation {generation} does not hold the job {job_id} any more.")
    return job


def heartbeat(
    session: Session,
    job_id: str,
    generation: int,
    progress: dict[str, Any] | None = None,
    waits_for: str | None = None,
) -> DesiredState:
    """Renew the lease, store the progress, and return the job's desired state. `waits_for` is a
    sentence while a cluster has not started the job.
    """
    job = held(session, job_id, generation)
    job.lease_until = _lease()
    if job.placement and job.placement[0].get("waits_for") != waits_for:
        job.placement = [{**job.placement[0], "waits_for": waits_for}]
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
    _end(session, job, JobState.SUCCEEDED)


def succeed_with_estimate(
    session: Session, job_id: str, generation: int, estimate: dict[str, Any]
) -> None:
    """finalizing -> succeeded, with what was measured."""
    job = held(session, job_id, generation)
    job.estimate = estimate
    _end(session, job, JobState.SUCCEEDED)


def succeed_with_audit(
    session: Session, job_id: str, generation: int, found: dict[str, Any], result_files: list[str]
) -> None:
    """finalizing -> succeeded, with what a deep audit found and the file of its pairs."""
    job = held(session, job_id, generation)
    job.estimate = found
    job.result_files = result_files
    _end(session, job, JobState.SUCCEEDED)


def succeed_with_scores(session: Session, job_id: str, generation: int) -> None:
    """finalizing -> succeeded, for an evaluation whose scores the caller has stored."""
    _end(session, held(session, job_id, generation), JobState.SUCCEEDED)


def shrink(session: Session, job_id: str, generation: int, token_budget: int) -> None:
    """The device was too small for the job's forward passes: try again with smaller ones.

    No attempt is charged: the budget can be halved only a few times.
    """
    job = held(session, job_id, generation)
    job.prepared = {**(job.prepared or {}), "token_budget": token_budget}
    _let_go(session, job)


def fail(session: Session, job_id: str, generation: int, error: dict[str, Any]) -> None:
    """End the job for good. `error` is the core's: {"code", "message", "hint", "param"}."""
    job = held(session, job_id, generation)
    job.error = errors.of_core(error)
    _end(session, job, JobState.FAILED)


def release(session: Session, job_id: str, generation: int) -> JobState:
    """Give the job back after an orderly stop, as its desired state says; no attempt is charged."""
    job = held(session, job_id, generation)
    _let_go(session, job)
    return JobState(job.state)


def lose(session: Session, job_id: str, generation: int, reason: str) -> JobState:
    """The training ended without a final event: try again, or fail after too many lost claims."""
    job = held(session, job_id, generation)
    _lost(session, job, reason)
    return JobState(job.state)


def reap(session: Session, limit: int = 50) -> list[str]:
    """Take back every job whose lease has run out and return their ids."""
    _shorten(session)
    lost = session.scalars(
        select(Job)
        .where(Job.state.in_(HELD), Job.lease_until < func.clock_timestamp())
        .limit(limit)
        .with_for_update(skip_locked=True)
    ).all()
    for job in lost:
        _lost(session, job, f"The worker {job.worker} stopped answering.")
    return [job.id for job in lost]


def _shorten(session: Session) -> None:
    """Limit each lease to one lease's duration from now.

    A lease is longer if the database's clock was set back: a dead worker's job would then wait
    longer.
    """
    session.execute(
        update(Job)
        .where(Job.state.in_(HELD), Job.lease_until > _lease())
        .values(lease_until=_lease())
    )


def _lost(session: Session, job: Job, reason: str) -> None:
    may_retry = attempts.charge(job)
    if job.desired_state == DesiredState.RUN and not may_retry:
        what, step, log = (
            ("evaluation", "answer", "worker")
            if job.purpose in EVALUATED
            else ("training", "checkpoint", "run")
        )
        message = (
            f"The {what} was lost {job.attempts} times without a new {step} between. The last "
            f"reason: {attempts.sentence(reason)} The log of the {log} has more."
        )
        job.error = errors.of_core({"code": Code.ATTEMPTS_EXHAUSTED, "message": message})
        _end(session, job, JobState.FAILED)
        return
    attempts.postpone(session, job, reason)
    _let_go(session, job)


def _let_go(session: Session, job: Job) -> None:
    if job.state == JobState.FINALIZING:
        # The legal transitions lead from `finalizing` to `paused` only through `queued`.
        job.state = JobState.QUEUED
        session.flush()
    if job.desired_state == DesiredState.CANCEL:
        _end(session, job, JobState.CANCELLED)
        return
    _free(job)
    if job.desired_state == DesiredState.PAUSE:
        job.state = JobState.PAUSED
    else:
        job.state = JobState.QUEUED
        wake(session, job)
    session.flush()


def wake(session: Session, job: Job) -> None:
    """Send a wake-up to the workers that such a job is for."""
    send(session, Task.EVALUATE if job.purpose in EVALUATED else Task.TRAIN)


def _end(session: Session, job: Job, state: JobState) -> None:
    attempts.forget(job)
    job.state = state
    _free(job)
    job.finished_at = func.clock_timestamp()
    promotion.settle(session, job)
    events.announce(session, job)


def _free(job: Job) -> None:
    job.worker = None
    job.lease_until = None
    job.placement = []


def _lease() -> Any:
    return func.clock_timestamp() + timedelta(seconds=get_settings().lease_s)
