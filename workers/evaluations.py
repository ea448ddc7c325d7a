"""The Celery task that evaluates. It is a wake-up: what to do is read from Postgres."""

import logging
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from typing import Any

from sqlalchemy.exc import OperationalError

from models import Job
from models.jobs import EVALUATED
from orpo.contract.failures import Code
from services.evaluations import deployed
from services.jobs import claims
from services.platform import traces
from services.platform.database import transaction
from services.platform.errors import Fenced, Invalid, is_disk_full
from services.platform.logs import bound
from services.platform.queue import Task
from workers import fleet, phases
from workers.app import app, draining
from workers.asking import UnusableError
from workers.holding import Hold, StoppedError
from workers.judging import Unjudged

logger = logging.getLogger(__name__)

# The error that ends an evaluation, a sentence for a claim that is lost, or neither.
Outcome = dict[str, Any] | str | None

NO_FILE = {
    "code": Code.BAD_DATA,
    "message": "The rows of the file of prompts are gone: upload it and create the evaluation "
    "again.",
    "param": "data",
}
NO_ROOM = {
    "code": Code.DISK_FULL,
    "message": "The disk is full: free some space and create the evaluation again. What was "
    "answered is kept.",
    "param": None,
}


@app.task(name=Task.EVALUATE)
def evaluate() -> None:
    """Run claimed evaluations one after another until none is left, or the worker is to stop."""
    while not draining.is_set() and (job := claim_next(fleet.WORKER)) is not None:
        with _taken(job):
            run(job)


@contextmanager
def _taken(job: Job) -> Iterator[None]:
    facts = {"job": job.id, "generation": job.generation}
    with bound(**facts), traces.span("evaluate", **facts):
        logger.info("claimed")
        yield


def claim_next(worker: str) -> Job | None:
    with transaction() as session:
        return claims.claim_next(session, worker, EVALUATED)


def run(job: Job) -> None:
    """Evaluate under this claim until it ends, is stopped, or the claim is lost."""
    try:
        with Hold(job) as hold:
            _end(hold, _work(hold))
    except Fenced as fenced:
        logger.warning("%s The evaluation is stopped.", fenced)
    except OperationalError:
        logger.exception("the database stayed away for longer than a lease: the claim is lost")
    # Also after a claim that was lost: what was deployed may be needed by no one now.
    with suppress(OperationalError), transaction() as session:
        deployed.take_back(session)


def _work(hold: Hold) -> Outcome:
    """Go through the phases. Return the error that ends the evaluation, or a sentence for a claim
    that is lost; None once the scores are stored or the claim is given back.
    """
    try:
        phases.run(hold)
    except StoppedError:
        hold.persist(lambda session: claims.release(session, *hold.claim))
    except (Fenced, OperationalError):
        raise
    except Exception as error:  # noqa: BLE001 - each has its outcome
        return _outcome(error)
    return None


def _outcome(error: Exception) -> Outcome:
    match error:
        case UnusableError() | Unjudged() | Invalid():
            return {
                "code": error.code,
                "message": error.message,
                "hint": getattr(error, "hint", None),
                "param": getattr(error, "param", None),
            }
        case FileNotFoundError():
            return NO_FILE
        case OSError() if is_disk_full(error):
            return NO_ROOM
    logger.error("this worker can't go on with the evaluation", exc_info=error)
    return f"The worker could not go on ({type(error).__name__}: {error})"


def _end(hold: Hold, outcome: Outcome) -> None:
    if isinstance(outcome, dict):
        hold.persist(lambda session: claims.fail(session, *hold.claim, outcome))
    elif outcome is not None:
        hold.persist(lambda session: claims.lose(session, *hold.claim, outcome))
