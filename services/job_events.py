"""What happened to a job, in order. State changes are recorded by the database itself."""

from collections.abc import Iterator
from typing import Any

from sqlalchemy import select, text
from sqlalchemy.orm import Session

from models import Job, JobEvent
from orpo.contract.rundir import Level
from services import claims
from services.pages import walk

# One query, for those who ask many times a second: `xmin` is another after each change of the row.
GLANCE = text("""
    SELECT CAST(jobs.xmin AS text),
           EXISTS (SELECT FROM job_events WHERE job_id = jobs.id AND seq > :event)
        OR EXISTS (SELECT FROM metrics WHERE job_id = jobs.id AND split = 'train' AND step > :train)
        OR EXISTS (
            SELECT FROM metrics WHERE job_id = jobs.id AND split = 'held_out' AND step > :held_out
        )
    FROM jobs WHERE id = :job_id
""")


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
    session: Session, job_id: str, *, after: str | None, limit: int
) -> Iterator[JobEvent]:
    """Yield events, newest first, as OpenAI's API does, and one beyond the limit. `after` is an
    event's id.
    """
    query = select(JobEvent).where(JobEvent.job_id == job_id)
    place = None if after is None else [seq_of(after)]
    return walk(session, query, JobEvent.seq, place=place, limit=limit)


def since(session: Session, job_id: str, seq: int, limit: int = 500) -> list[JobEvent]:
    """Return events after `seq`, oldest first."""
    query = select(JobEvent).where(JobEvent.job_id == job_id, JobEvent.seq > seq)
    return list(session.scalars(query.order_by(JobEvent.seq).limit(limit)))


def glance(
    session: Session, job_id: str, *, event: int, train: int, held_out: int
) -> tuple[str | None, bool]:
    """Return the version of the job's row, and whether events or steps beyond these are stored."""
    cursors = {"job_id": job_id, "event": event, "train": train, "held_out": held_out}
    found = session.execute(GLANCE, cursors).one_or_none()
    return (found[0], found[1]) if found else (None, False)


def event_id(event: JobEvent) -> str:
    return f"ftevent-{event.seq}"


def seq_of(public_id: str) -> int:
    """Return the place that an event's public id stands for; an unknown id is before all."""
    digits = public_id.removeprefix("ftevent-")
    return int(digits) if digits.isdigit() and len(digits) < 19 else 0


def note(session: Session, job: Job, message: str, data: dict[str, Any] | None = None) -> None:
    """Append a message about a job that no worker holds yet; the caller has locked its row."""
    session.add(JobEvent(job_id=job.id, generation=job.generation, message=message, data=data))
