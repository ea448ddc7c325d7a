"""What a finished job leaves: its model's name and the table of its numbers as a file."""

import csv
import io
import time
from collections.abc import Iterator
from itertools import groupby
from typing import Any

from sqlalchemy import select
from sqlalchemy.orm import Session

from models import Job, Metric
from services.files import files
from services.jobs import claims
from services.platform.settings import get_settings
from services.runs import checkpoints, series

BATCH = 10_000


def register(session: Session, job_id: str, generation: int) -> Job:
    """Store the result file, end the job as succeeded (fenced: raises Fenced), and return it."""
    job = claims.held(session, job_id, generation)
    table = holding(session, job, metrics_csv(session, job))
    file = files.store_result(session, job, f"{job_id}-metrics.csv", table)
    model = checkpoints.model_name(session, job)
    claims.succeed(session, job_id, generation, model=model, result_files=[file.id])
    return job


def holding(session: Session, job: Job, parts: Iterator[bytes]) -> Iterator[bytes]:
    """Yield the parts, and renew the lease meanwhile, however long that takes."""
    renew_at = time.monotonic() + get_settings().heartbeat_s
    for part in parts:
        yield part
        if time.monotonic() > renew_at:
            claims.heartbeat(session, job.id, job.generation)
            renew_at = time.monotonic() + get_settings().heartbeat_s


def metrics_csv(session: Session, job: Job) -> Iterator[bytes]:
    """Yield all numbers of the job as CSV: a row a step and split, a column a name.

    Memory is flat, however long the run was.
    """
    names = sorted({key.split(":", 1)[1] for key in series.keys_of(session, job.id)})
    query = (
        select(Metric.step, Metric.split, Metric.name, Metric.value)
        .where(Metric.job_id == job.id)
        .order_by(Metric.step, Metric.split.desc())
        .execution_options(yield_per=BATCH)
    )
    yield _line(["step", "split", *names])
    found = session.execute(query)
    for (step, split), cells in groupby(found, key=lambda cell: (cell.step, cell.split)):
        values = {cell.name: cell.value for cell in cells}
        yield _line([step, split, *(values.get(name) for name in names)])


def _line(cells: list[Any]) -> bytes:
    out = io.StringIO()
    csv.writer(out).writerow(cells)
    return out.getvalue().encode()
