"""The Celery task that evaluates. It is a wake-up: what to do is read from Postgres."""

from models import Job
from models.jobs import EVALUATED
from services.jobs import claims
from services.platform.database import transaction
from services.platform.queue import Task
from workers import fleet
from workers.app import app, draining


@app.task(name=Task.EVALUATE)
def evaluate() -> None:
    """Run claimed evaluations one after another until none is left, or the worker is to stop."""
    while not draining.is_set() and claim_next(fleet.WORKER) is not None:
        raise NotImplementedError  # the next commit


def claim_next(worker: str) -> Job | None:
    with transaction() as session:
        return claims.claim_next(session, worker, EVALUATED)
