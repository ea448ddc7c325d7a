"""A job's steps as events of the type `metrics`, which OpenAI's clients expect in the list.

None is stored: they are made from the stored numbers when events are listed. So a step that a
resumed run repeats is one event, and jobs of earlier releases have these events too.

In chronological order, a step comes after the newest event that is not younger than it. The step's
place is that event's `seq`, then the step.
"""

from collections.abc import Iterator
from dataclasses import dataclass, field
from datetime import datetime
from typing import Any

from sqlalchemy import text
from sqlalchemy.orm import Session

from models import Job
from orpo.contract.numbers import Series
from orpo.contract.rundir import Split
from services.runs import metrics, series

MOST = 200
# Each has some 40 numbers; a client's page is one query.
AT_ONCE = 50
PLACES = text("""
    WITH steps AS (
        SELECT step, t FROM metrics
        WHERE job_id = :job_id AND split = 'train' AND name = 'loss' AND step = ANY(:steps)
    ), moments AS (
        SELECT created_at AS t, seq, CAST(NULL AS bigint) AS step
        FROM job_events WHERE job_id = :job_id
        UNION ALL SELECT t, NULL, step FROM steps
    )
    SELECT seq, step, t FROM (
        SELECT coalesce(max(seq) OVER (ORDER BY t, seq), 0) AS seq, step, t FROM moments
    ) AS placed
    WHERE step IS NOT NULL ORDER BY seq DESC, step DESC
""")

Place = tuple[int, int]


@dataclass(frozen=True, slots=True)
class StepEvent:
    """One step, with the attributes of a stored event."""

    id: str
    seq: int
    step: int
    created_at: datetime
    message: str
    data: dict[str, Any]
    level: str = field(default="info", init=False)
    type: str = field(default="metrics", init=False)


def newest_first(
    session: Session, job: Job, before: Place | None, limit: int
) -> Iterator[StepEvent]:
    """Yield the steps older than a place, the newest first, and one beyond the limit."""
    total, found = _total(session, job), places(session, job)
    older = [each for each in found if before is None or each[:2] < before][: limit + 1]
    names = [key.removeprefix("train:") for key in series.keys_of(session, job.id)]
    for start in range(0, len(older), AT_ONCE):
        batch = older[start : start + AT_ONCE]
        steps = [step for _, step, _ in batch]
        values = metrics.at_steps(session, job.id, Split.TRAIN, names, steps)
        for seq, step, t in batch:
            yield _event(job, (seq, step), t, values[step], total)


def places(session: Session, job: Job) -> list[tuple[int, int, datetime]]:
    """Return the seq, number and time of each step that has an event, the newest first."""
    found = session.execute(PLACES, {"job_id": job.id, "steps": with_event(_total(session, job))})
    return [(seq, step, t) for seq, step, t in found]


def with_event(total: int) -> list[int]:
    """Return which of so many steps have an event: at most MOST, evenly spread, and the last."""
    stride = -(-total // MOST)
    return sorted({*range(stride, total + 1, stride), total}) if total else []


def place_of(session: Session, job: Job, public_id: str) -> Place | None:
    """Return the place of the step that an id stands for, or None if this job has no such step."""
    owner, _, step = public_id.rpartition("-")
    if owner != _prefix(job) or not step.isdecimal():
        return None
    return next((each[:2] for each in places(session, job) if each[1] == int(step)), None)


def _total(session: Session, job: Job) -> int:
    """The steps of the whole run; if it was never prepared, the steps that were stored."""
    prepared = (job.prepared or {}).get("steps")
    return prepared or series.last_steps(session, job.id).get(Split.TRAIN, 0)


def _event(
    job: Job, place: Place, t: datetime, values: dict[str, float | None], total: int
) -> StepEvent:
    (seq, step), loss = place, values.get(Series.LOSS)
    shown = "NaN or infinite" if loss is None else f"{loss:.4g}"
    facts = {"step": step, "total_steps": total, "train_loss": loss}
    return StepEvent(
        id=f"{_prefix(job)}-{step}",
        seq=seq,
        step=step,
        created_at=t,
        message=f"Step {step}/{total}: training loss={shown}",
        data={**values, **facts},
    )


def _prefix(job: Job) -> str:
    return f"ftevent-{job.id.removeprefix('ftjob-')}"
