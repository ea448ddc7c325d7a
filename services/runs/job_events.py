"""What happened to a job, in order. State changes are recorded by the database itself."""

import heapq
from collections.abc import Iterator
from enum import StrEnum
from typing import Any

from sqlalchemy import func, select, text
from sqlalchemy.orm import Session

from models import Job, JobEvent
from orpo.contract.rundir import Level
from services.jobs import claims
from services.platform.pages import walk
from services.runs import step_events
from services.runs.step_events import Place, StepEvent

# One query, for callers that poll many times a second. `xmin` changes with each change of the row.
GLANCE = text("""
    SELECT CAST(jobs.xmin AS text),
           EXISTS (SELECT FROM job_events WHERE job_id = jobs.id AND seq > :event)
        OR EXISTS (SELECT FROM metrics WHERE job_id = jobs.id AND split = 'train' AND step > :train)
        OR EXISTS (
            SELECT FROM metrics WHERE job_id = jobs.id AND split = 'held_out' AND step > :held_out
        )
    FROM jobs WHERE id = :job_id
""")
# A step comes after the event whose `seq` it shares.
BEFORE_STEPS = -1


class EventType(StrEnum):
    """OpenAI's two: what happened, and the numbers of a step."""

    MESSAGE = "message"
    METRICS = "metrics"


def record(
    session: Session,
    job_id: str,
    generation: int,
    *,
    message: str,
    level: Level = Level.INFO,
    type_: str = "message",
    data: dict[str, Any] | None = None,
) -> None:
    """Append an event of the run (fenced)."""
    claims.held(session, job_id, generation)
    session.add(
        JobEvent(
            job_id=job_id,
            generation=generation,
            level=level,
            type=type_,
            message=message,
            data=data,
        )
    )


def list_events(
    session: Session, job: Job, *, after: str | None, limit: int, kind: EventType | None = None
) -> Iterator[JobEvent | StepEvent]:
    """Yield events, newest first, as OpenAI's API does, and at least one beyond the limit.

    `after` is an event's id; `kind` leaves out those of another type.
    """
    place = None if after is None else place_of(session, job, after)
    lists: list[Iterator[JobEvent | StepEvent]] = []
    if kind != EventType.METRICS:
        lists.append(_stored(session, job, place, limit))
    if kind != EventType.MESSAGE:
        lists.append(step_events.newest_first(session, job, place, limit))
    return heapq.merge(*lists, key=_place, reverse=True)


def _stored(
    session: Session, job: Job, before: Place | None, limit: int
) -> Iterator[JobEvent | StepEvent]:
    query = select(JobEvent).where(JobEvent.job_id == job.id)
    # The list is newest first: after an event come those with a lower seq; after a step also the
    # event whose seq it shares.
    seq = None if before is None else [before[0] + (before[1] != BEFORE_STEPS)]
    yield from walk(session, query, JobEvent.seq, place=seq, limit=limit)


def _place(event: JobEvent | StepEvent) -> Place:
    return event.seq, event.step if isinstance(event, StepEvent) else BEFORE_STEPS


def since(session: Session, job_id: str, seq: int, limit: int = 500) -> list[JobEvent]:
    """Return events after `seq`, oldest first."""
    query = select(JobEvent).where(JobEvent.job_id == job_id, JobEvent.seq > seq)
    return list(session.scalars(query.order_by(JobEvent.seq).limit(limit)))


def newest(session: Session, job_id: str) -> int:
    """Return the `seq` of the job's newest event, or 0 where it has none."""
    query = select(func.max(JobEvent.seq)).where(JobEvent.job_id == job_id)
    return session.scalar(query) or 0


def glance(
    session: Session, job_id: str, *, event: int, train: int, held_out: int
) -> tuple[str | None, bool]:
    """Return the version of the job's row, and whether events or steps beyond these are stored."""
    cursors = {"job_id": job_id, "event": event, "train": train, "held_out": held_out}
    found = session.execute(GLANCE, cursors).one_or_none()
    return (found[0], found[1]) if found else (None, False)


def event_id(event: JobEvent | StepEvent) -> str:
    return event.id if isinstance(event, StepEvent) else f"ftevent-{event.seq}"


def place_of(session: Session, job: Job, public_id: str) -> Place:
    """Return the place that an event's public id stands for; an unknown id is before all."""
    digits = public_id.removeprefix("ftevent-")
    if digits.isdecimal() and len(digits) < 19:
        return int(digits), BEFORE_STEPS
    return step_events.place_of(session, job, public_id) or (0, BEFORE_STEPS)


def note(
    session: Session,
    job: Job,
    message: str,
    data: dict[str, Any] | None = None,
    level: Level = Level.INFO,
) -> None:
    """Append a message about a job that no worker holds yet; the caller has locked its row."""
    event = JobEvent(
        job_id=job.id, generation=job.generation, level=level, message=message, data=data
    )
    session.add(event)
