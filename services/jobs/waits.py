"""What a job waits for, as a sentence for users: a worker, GPUs, a retry, the jobs before it.

Reads what claims and preparations go by, and decides nothing. What it says is true at one moment.
"""

import math
from collections import Counter
from collections.abc import Sequence
from dataclasses import dataclass
from datetime import datetime
from enum import StrEnum

from sqlalchemy import func, select
from sqlalchemy.orm import Session

from models import Job, Worker
from models.jobs import EVALUATED, HELD, DesiredState, JobState
from services.jobs import waiting, workers
from services.jobs.waiting import Place
from services.jobs.workers import Fleet
from services.launchers import launchers
from services.platform.queue import Task
from services.platform.settings import get_settings

CAN_WAIT = frozenset({JobState.VALIDATING_FILES, JobState.QUEUED, JobState.CLAIMED})


class Reason(StrEnum):
    """What a job waits for."""

    RETRY = "retry"
    NO_WORKER = "no_worker"
    NEWER_WORKER = "newer_worker"
    PREPARATION = "preparation"
    JOBS_BEFORE = "jobs_before"
    FREE_WORKER = "free_worker"
    CLUSTER = "cluster"
    GPUS = "gpus"
    CLAIM = "claim"


@dataclass(frozen=True)
class Wait:
    """What one job waits for. `place` is its place among the jobs that wait for a train worker."""

    reason: Reason
    message: str
    place: Place | None = None


@dataclass(frozen=True)
class _Now:
    """What is known of the stack at one moment."""

    time: datetime
    n_alive: Counter[str]
    fleet: Fleet
    places: dict[str, Place]


class Waits:
    """Says what jobs wait for. Reads the stack once, when the first job that may wait is asked for;
    use one for each request.
    """

    def __init__(self, session: Session) -> None:
        self._session = session
        self._read: _Now | None = None

    def of(self, job: Job) -> Wait | None:
        """Return what the job waits for; None if it waits for nothing."""
        return _wait(job, self._now()) if _can_wait(job) else None

    def _now(self) -> _Now:
        self._read = self._read or _Now(
            self._session.scalars(select(func.clock_timestamp())).one(),
            workers.n_of_queues(self._session),
            workers.fleet(self._session),
            waiting.places(self._session),
        )
        return self._read


def _can_wait(job: Job) -> bool:
    """Whether the job is in a state in which it may wait; a paused job waits for its user."""
    if job.state in HELD:
        return _of_cluster(job) is not None
    return job.state in CAN_WAIT and job.desired_state == DesiredState.RUN


def _wait(job: Job, now: _Now) -> Wait | None:
    if (sentence := _of_cluster(job)) is not None:
        return Wait(Reason.CLUSTER, sentence)
    retry = _retry(job, now.time)
    if job.state == JobState.VALIDATING_FILES:
        return retry or _preparation(job, now)
    if job.purpose in EVALUATED:
        return retry or _evaluation(now)
    place = now.places.get(job.id)
    wait = retry or _claim(job, now, place)
    return Wait(wait.reason, wait.message, place)


def _of_cluster(job: Job) -> str | None:
    """What a claimed job waits for that a cluster has not started."""
    return job.placement[0].get("waits_for") if job.state in HELD and job.placement else None


def _retry(job: Job, time: datetime) -> Wait | None:
    """After a lost attempt, a job waits before the next one."""
    if job.available_at is None or job.available_at <= time:
        return None
    left_s = math.ceil((job.available_at - time).total_seconds())
    of = f"attempt {job.attempts + 1} of {get_settings().max_attempts}"
    return Wait(Reason.RETRY, f"Waits {left_s} s before the next attempt ({of}).")


def _preparation(job: Job, now: _Now) -> Wait | None:
    if (job.progress or {}).get("preparing"):
        return None
    if not now.n_alive[Task.PREPARE.queue]:
        return _no_worker(Task.PREPARE.queue)
    return Wait(Reason.PREPARATION, "Waits until its files are read and checked.")


def _evaluation(now: _Now) -> Wait:
    queue = Task.EVALUATE.queue
    total = now.n_alive[queue]
    if not total:
        return _no_worker(queue)
    busy = len([job for job in now.fleet.held if job.purpose in EVALUATED])
    if busy >= total:
        return _busy(busy, total, "evaluation worker")
    return Wait(Reason.CLAIM, "Waits for an evaluation worker, which takes it in a moment.")


def _claim(job: Job, now: _Now, place: Place | None) -> Wait:
    """A queued job waits for the jobs before it, then for a worker that it fits."""
    known = now.fleet
    if not known.workers:
        return _no_worker(Task.TRAIN.queue)
    if all(worker.spec_version < job.spec_version for worker in known.workers):
        what = "Waits for a train worker of a newer release: those alive can't read its settings."
        return Wait(Reason.NEWER_WORKER, what)
    if place is not None and place.position > 1:
        before = place.position - 1
        return Wait(Reason.JOBS_BEFORE, f"Waits for {_count(before, 'job')} before it.")
    return _room(job, known)


def _room(job: Job, known: Fleet) -> Wait:
    """The next job waits for idle workers, or for GPUs on the machine of one."""
    idle, total = known.idle(), len(known.workers)
    if not idle:
        return _busy(total, total, "train worker")
    if not launchers.is_local():
        return Wait(Reason.CLAIM, "Waits for a train worker, which takes it in a moment.")
    if job.method.get("nodes", 1) > 1:
        what = "Waits for a cluster: this installation trains on one machine at a time."
        return Wait(Reason.CLUSTER, what)
    if (short := _too_few_gpus(job, known, idle)) is not None:
        return short
    return Wait(Reason.CLAIM, "Waits for a train worker, which takes it in a moment.")


def _too_few_gpus(job: Job, known: Fleet, idle: Sequence[Worker]) -> Wait | None:
    wanted = job.method.get("processes", 1)
    if any(not worker.devices for worker in idle):
        return None  # it trains on its cores
    most = max(len(known.free_devices(worker)) for worker in idle)
    if most >= wanted:
        return None
    what = f"Waits for {_count(wanted, 'free GPU')} on one machine: at most {most} {_is(most)} free"
    return Wait(Reason.GPUS, f"{what}.")


def _busy(busy: int, total: int, worker: str) -> Wait:
    what = f"Waits for a free {worker}: {busy} of {total} {_is(busy)} busy."
    return Wait(Reason.FREE_WORKER, what)


def _no_worker(queue: str) -> Wait:
    what = f"Waits for a worker of the queue `{queue}`: none is alive. Start one."
    return Wait(Reason.NO_WORKER, what)


def _count(number: int, noun: str) -> str:
    return f"{number} {noun}" if number == 1 else f"{number} {noun}s"


def _is(number: int) -> str:
    return "is" if number == 1 else "are"
