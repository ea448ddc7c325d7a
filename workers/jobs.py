"""The Celery task that trains. It is a wake-up: what to do is read from Postgres."""

import logging

from models import Job
from services.jobs import claims
from services.platform import traces
from services.platform.database import transaction
from services.platform.logs import bound
from services.platform.queue import Task
from workers import fleet, training
from workers.app import app, draining
from workers.claim import describe

logger = logging.getLogger(__name__)


@app.task(name=Task.TRAIN)
def train() -> None:
    """Train claimed jobs one after another until none is left, or the worker is to stop."""
    while not draining.is_set():
        if (job := claim_next(fleet.WORKER)) is None:
            return
        facts = {"job": job.id, "generation": job.generation}
        with bound(**facts), traces.span("train", **facts):
            logger.info("claimed")
            # After the claim's commit: a job that can't be described must not be claimed again.
            if (claim := describe(job)) is not None:
                training.train(claim)


def claim_next(worker: str) -> Job | None:
    with transaction() as session:
        return claims.claim_next(session, worker)
