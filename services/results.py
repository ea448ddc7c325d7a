"""What a finished job leaves: its model's name and the table of its numbers as a file."""

import csv
import io

from sqlalchemy import select
from sqlalchemy.orm import Session

from models import Job, Metric
from services import checkpoints, claims, files


def register(session: Session, job_id: str, generation: int) -> None:
    """Store the result file and end the job as succeeded (fenced: raises Fenced)."""
    job = claims.held(session, job_id, generation)
    table = metrics_csv(session, job)
    file = files.store_result(session, job, f"{job_id}-metrics.csv", table)
    model = checkpoints.model_name(session, job)
    claims.succeed(session, job_id, generation, model=model, result_files=[file.id])


def metrics_csv(session: Session, job: Job) -> bytes:
    """Return all numbers of the job as CSV: a row a step and split, a column a name."""
    query = (
        select(Metric.step, Metric.split, Metric.name, Metric.value)
        .where(Metric.job_id == job.id)
        .order_by(Metric.step, Metric.split.desc())
    )
    rows: dict[tuple[int, str], dict[str, float | None]] = {}
    for step, split, name, value in session.execute(query):
        rows.setdefault((step, split), {})[name] = value
    names = sorted({name for values in rows.values() for name in values})
    out = io.StringIO()
    writer = csv.writer(out)
    writer.writerow(["step", "split", *names])
    for (step, split), values in rows.items():
        writer.writerow([step, split, *(values.get(name) for name in names)])
    return out.getvalue().encode()
