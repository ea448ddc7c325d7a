"""Mirrors of a run's numbers in trackers: which are due, what comes next, and how far each is.

A mirror reads what is stored, by a position of its own. So a tracker that is slow or away delays
no training, and its mirror continues where it was.
"""

from dataclasses import dataclass
from datetime import timedelta
from typing import Any

from sqlalchemy import func, or_, select, tuple_
from sqlalchemy.orm import Session

from models import Job, Metric, Mirror, Sample
from models.jobs import JobState
from models.mirrors import MirrorStatus
from orpo.contract.rundir import Split
from services.access.callers import OPERATOR
from services.jobs.integrations import Tracker
from services.jobs.states import ENDED
from services.platform import retries
from services.platform.settings import get_settings
from services.runs import metrics

# One pass of a mirror ends after TIMEOUT_S. One that has not ended after CLAIM_S was lost.
TIMEOUT_S = 120
CLAIM_S = 180
# Between two passes while a job runs, and before a failed one is tried again, at first.
PACE_S = 15
FIRST_PAUSE_S, LONGEST_PAUSE_S = 30, 3600
# After the job's end: longer than a weekend.
TRIED_FOR = timedelta(days=7)
LONGEST_ERROR = 500
NUMBERS_A_BATCH, SAMPLES_A_BATCH = 5000, 100
BEGUN = {JobState.RUNNING, JobState.FINALIZING, *ENDED}


@dataclass(frozen=True)
class Batch:
    """What follows a position: [{step, split, values, t}], samples, and the position after them."""

    steps: list[dict[str, Any]]
    samples: list[Sample]
    position: dict[str, Any]

    def __bool__(self) -> bool:
        return bool(self.steps or self.samples)


def are_due(session: Session) -> bool:
    """Whether a mirror waits for a pass now."""
    return session.execute(_due().limit(1)).first() is not None


def claim(session: Session, *, failing: bool = True) -> tuple[str, int] | None:
    """Claim the mirror that is due longest: its job's id and its place, or None.

    Without `failing`, one whose last pass has failed is left to others.
    """
    due = _due() if failing else _due().where(Mirror.failures == 0)
    oldest = due.order_by(Mirror.next_at).limit(1).with_for_update(of=Mirror, skip_locked=True)
    mirror = session.scalar(oldest)
    if mirror is None:
        return None
    mirror.next_at = func.clock_timestamp() + timedelta(seconds=CLAIM_S)
    session.flush()
    return mirror.job_id, mirror.place


def _due() -> Any:
    return (
        select(Mirror)
        .join(Job, Job.id == Mirror.job_id)
        .where(
            Mirror.next_at <= func.clock_timestamp(),
            Job.state.in_(BEGUN),
            Job.deleted_at.is_(None),
        )
    )


def is_whole(mirror: Mirror, job: Job) -> bool:
    """Whether it is written in one pass, once its job has ended: files of W&B can't be continued.

    They are written for organisations other than the operator's, or if there is no key.
    """
    if mirror.type != Tracker.WANDB:
        return False
    return job.org_id != OPERATOR or not get_settings().wandb_api_key.get_secret_value()


def has_work(session: Session, job_id: str, place: int) -> bool:
    """Whether a pass has something to do: to copy numbers or samples, or to end the run."""
    mirror, job = session.get(Mirror, (job_id, place)), session.get(Job, job_id)
    if mirror is None or job is None:
        return False
    if job.state in ENDED:
        return True
    return not is_whole(mirror, job) and has_more(session, job_id, mirror.position)


def has_more(session: Session, job_id: str, position: dict[str, Any]) -> bool:
    """Whether numbers or samples follow a position."""
    beyond = [
        select(Metric.step)
        .where(
            Metric.job_id == job_id, Metric.split == split, Metric.step > position.get(split, -1)
        )
        .exists()
        for split in Split
    ]
    beyond.append(_samples_after(job_id, position).exists())
    return bool(session.scalar(select(or_(*beyond))))


def _samples_after(job_id: str, position: dict[str, Any]) -> Any:
    reached = tuple_(*position.get("sample", (-1, -1)))
    return select(Sample).where(Sample.job_id == job_id, tuple_(Sample.step, Sample.line) > reached)


def after(session: Session, job_id: str, position: dict[str, Any]) -> Batch:
    """Return the numbers and the samples that follow a position."""
    cursors = {str(split): position.get(split, -1) for split in Split}
    steps = metrics.after_step(session, job_id, cursors, NUMBERS_A_BATCH)
    _add_times(session, job_id, steps)
    in_order = _samples_after(job_id, position).order_by(Sample.step, Sample.line)
    samples = session.scalars(in_order.limit(SAMPLES_A_BATCH)).all()
    reached = dict(position)
    for each in steps:
        reached[each["split"]] = max(reached.get(each["split"], -1), each["step"])
    if samples:
        reached["sample"] = [samples[-1].step, samples[-1].line]
    return Batch(steps, list(samples), reached)


def _add_times(session: Session, job_id: str, steps: list[dict[str, Any]]) -> None:
    """Give each step its time, `t`, in Unix seconds."""
    if not steps:
        return
    among = Metric.step.between(steps[0]["step"], steps[-1]["step"])
    query = select(Metric.split, Metric.step, func.max(Metric.t)).where(
        Metric.job_id == job_id, among
    )
    found = session.execute(query.group_by(Metric.split, Metric.step))
    times = {(split, step): t.timestamp() for split, step, t in found}
    for each in steps:
        each["t"] = times[each["split"], each["step"]]


def advance(
    session: Session, job_id: str, place: int, position: dict[str, Any], run_id: str | None
) -> None:
    """Store that the tracker has everything up to a position."""
    mirror = _locked(session, job_id, place)
    if mirror is not None:
        mirror.position, mirror.run_id = position, run_id
        mirror.status, mirror.failures, mirror.error = MirrorStatus.MIRRORING, 0, None


def pause(session: Session, job_id: str, place: int, *, more: bool) -> None:
    """End a pass. The next one follows at once if there is more to copy, else after PACE_S."""
    mirror = _locked(session, job_id, place)
    if mirror is not None:
        seconds = 0 if more else PACE_S
        mirror.next_at = func.clock_timestamp() + timedelta(seconds=seconds)


def finish(session: Session, job_id: str, place: int) -> None:
    """Store that the tracker has everything of a job that has ended."""
    mirror = _locked(session, job_id, place)
    if mirror is not None:
        mirror.status, mirror.next_at, mirror.error = MirrorStatus.DONE, None, None


def fail(session: Session, job_id: str, place: int, why: str) -> None:
    """Store why a pass failed. It is tried again, until a week after the job's end."""
    mirror = _locked(session, job_id, place)
    if mirror is None or mirror.next_at is None:
        return
    mirror.failures += 1
    mirror.error = why[:LONGEST_ERROR]
    tried_long = select(Job.id).where(
        Job.id == job_id, Job.finished_at < func.clock_timestamp() - TRIED_FOR
    )
    if session.scalar(tried_long) is not None:
        mirror.status, mirror.next_at = MirrorStatus.FAILED, None
        return
    pause_s = retries.delay_s(mirror.failures, first_s=FIRST_PAUSE_S, longest_s=LONGEST_PAUSE_S)
    mirror.next_at = func.clock_timestamp() + timedelta(seconds=pause_s)


def _locked(session: Session, job_id: str, place: int) -> Mirror | None:
    """None if the job was deleted."""
    return session.get(Mirror, (job_id, place), with_for_update=True)
