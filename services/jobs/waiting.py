"""The position of a queued job, and a forecast of when it starts, for users who wait.

The forecast uses what is known now. It is no promise, and nothing is decided by it.
"""

import heapq
from collections.abc import Sequence
from dataclasses import dataclass
from datetime import timedelta
from operator import itemgetter

from sqlalchemy import func, select
from sqlalchemy.orm import Session

from models import Job
from models.jobs import TRAINED, DesiredState, JobState
from services.jobs.claims import ACCOUNT, claim_order, shares_of_keys
from services.jobs.workers import Fleet, fleet
from services.platform.turns import rounds


@dataclass(frozen=True)
class Place:
    """`position` is 1 for the next job; `starts_in_s` is None if it can't be forecast."""

    position: int
    starts_in_s: float | None


def places(session: Session) -> dict[str, Place]:
    """Each job that waits for a train worker, by id."""
    queued = _in_turn(session)
    if not queued:
        return {}
    starts_s = _starts(queued, _free_in_s(fleet(session)), _tokens_per_s(session, queued))
    return {
        job.id: Place(at + 1, start_s)
        for at, (job, start_s) in enumerate(zip(queued, starts_s, strict=True))
    }


def _in_turn(session: Session) -> list[Job]:
    """The queue: each key's first job, then each key's second. Running jobs count, too."""
    shares = shares_of_keys()
    rows = session.execute(
        select(Job, shares.c.account, shares.c.running)
        .join(shares, shares.c.account == ACCOUNT)
        .where(Job.state == JobState.QUEUED, Job.desired_state == DesiredState.RUN)
        .where(Job.purpose.in_(TRAINED))
        .order_by(*claim_order(shares))
    ).all()
    ranked = rounds(rows, lambda row: row.account, lambda row: row.running)
    return [row.Job for _, row in sorted(ranked, key=itemgetter(0))]


def _free_in_s(known: Fleet) -> list[float | None]:
    """When each worker will be free, in seconds from now; None if its job has no `eta_s`."""
    busy: dict[str | None, float | None] = {
        job.worker: (job.progress or {}).get("eta_s") for job in known.held
    }
    return [busy.get(worker.id, 0.0) for worker in known.workers]


def _tokens_per_s(session: Session, queued: Sequence[Job]) -> dict[str, float]:
    """How fast this month's jobs of the same bases were, from their start to their end."""
    took_s = func.extract("epoch", Job.finished_at - Job.started_at)
    rows = session.execute(
        select(Job.base_model, func.sum(Job.trained_tokens) / func.sum(took_s))
        .where(
            Job.base_model.in_({job.base_model for job in queued}),
            Job.state == JobState.SUCCEEDED,
            Job.finished_at > func.now() - timedelta(days=30),
            Job.trained_tokens > 0,
            took_s > 0,
        )
        .group_by(Job.base_model)
    )
    return {base: float(rate) for base, rate in rows}


def _starts(
    queued: Sequence[Job], free_in_s: list[float | None], tokens_per_s: dict[str, float]
) -> list[float | None]:
    """Assign the queued jobs in order, each to the worker that is free first."""
    known = [free for free in free_in_s if free is not None]
    heapq.heapify(known)
    starts: list[float | None] = []
    for job in queued:
        start_s = heapq.heappop(known) if known else None
        starts.append(start_s)
        took_s = _takes_s(job, tokens_per_s)
        if start_s is not None and took_s is not None:
            heapq.heappush(known, start_s + took_s)
    return starts


def _takes_s(job: Job, tokens_per_s: dict[str, float]) -> float | None:
    prepared, rate = job.prepared or {}, tokens_per_s.get(job.base_model)
    if rate is None or not prepared.get("steps_per_epoch"):
        return None
    epochs = prepared["steps"] / prepared["steps_per_epoch"]
    return prepared["train"]["tokens"] * epochs / rate
