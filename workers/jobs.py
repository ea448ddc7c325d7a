"""Celery tasks of fine-tuning jobs. Both are wake-ups: what to do is read from Postgres."""

import logging
import os
import socket

from sqlalchemy.exc import OperationalError

from models import Job
from services import claims, traces
from services.database import transaction
from services.logs import bound
from services.queue import Task
from workers import preparation, training
from workers.app import app, draining

logger = logging.getLogger(__name__)


@app.task(name=Task.PREPARE_JOB)
def prepare_job(job_id: str) -> None:
    """Prepare one job's data. What fails unexpectedly is tried again by the keeper."""
    with bound(job=job_id), traces.span("prepare", job=job_id):
        try:
            preparation.prepare(job_id)
        except OperationalError:
            logger.warning("the database is away; the keeper sends this job again")
        except Exception as error:
            logger.exception("preparing the data failed")
            preparation.charge(job_id, f"{type(error).__name__}: {error}")


@app.task(name=Task.TRAIN)
def train() -> None:
    """Train claimed jobs one after another until none is left, or the worker is to stop."""
    worker = f"{socket.gethostname()}:{os.getpid()}"
    while not draining.is_set() and (job := claim_next(worker)) is not None:
        with (
            bound(job=job.id, generation=job.generation),
            traces.span("train", job=job.id, generation=job.generation),
        ):
            logger.info("claimed")
            # After the claim's commit: a job that can't be described must not be the next again.
            if (claim := training.describe(job)) is not None:
                training.train(claim)


def claim_next(worker: str) -> Job | None:
    with transaction() as session:
        return claims.claim_next(session, worker)
