"""Celery tasks of fine-tuning jobs. Both are wake-ups: what to do is read from Postgres."""

import logging
from collections.abc import Iterator
from contextlib import contextmanager

from sqlalchemy.exc import OperationalError

from models import Job
from services import claims, traces
from services.database import alone, transaction
from services.logs import bound
from services.queue import Task
from services.verbs import VerbError
from workers import fleet, joining, preparation, training
from workers.app import app, draining
from workers.claim import describe

logger = logging.getLogger(__name__)


@app.task(name=Task.PREPARE_JOB)
def prepare_job(job_id: str) -> None:
    """Prepare one job's data. What fails unexpectedly is tried again by the keeper."""
    with bound(job=job_id), traces.span("prepare", job=job_id):
        try:
            with alone(job_id) as mine:
                if mine:
                    preparation.prepare(job_id)
        except OperationalError:
            logger.warning("the database is away; the keeper sends this job again")
        except VerbError as failure:
            logger.warning("preparing the data failed: %s", failure)
            preparation.charge(job_id, str(failure))
        except Exception as error:
            logger.exception("preparing the data failed")
            preparation.charge(job_id, f"{type(error).__name__}: {error}")


@app.task(name=Task.TRAIN)
def train() -> None:
    """Train claimed jobs one after another until none is left, or the worker is to stop."""
    while not draining.is_set():
        # First those that hold other workers' devices while they wait.
        if (job := join_next(fleet.WORKER)) is not None:
            with _taken(job, "joined"):
                joining.assist(job)
        elif (job := claim_next(fleet.WORKER)) is not None:
            with _taken(job, "claimed"):
                # After the claim's commit: a job that can't be described must not be next again.
                if (claim := describe(job)) is not None:
                    training.train(claim)
        else:
            return


@contextmanager
def _taken(job: Job, how: str) -> Iterator[None]:
    facts = {"job": job.id, "generation": job.generation}
    with bound(**facts), traces.span("train", **facts):
        logger.info(how)
        yield


def claim_next(worker: str) -> Job | None:
    with transaction() as session:
        return claims.claim_next(session, worker)


def join_next(worker: str) -> Job | None:
    with transaction() as session:
        return claims.join_next(session, worker)
