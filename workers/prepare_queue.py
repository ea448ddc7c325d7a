"""The task of the `prepare` queue, which takes minutes: prepare a job's data or make a base model.

A message is a wake-up for one item. This module decides which item is next: keys take turns.
"""

import logging
from collections.abc import Callable

from sqlalchemy import func
from sqlalchemy.exc import OperationalError
from sqlalchemy.orm import Session

from models import BaseModelRecord, Job
from models.base_models import IN_THE_MAKING
from models.jobs import JobState
from services.jobs import claims
from services.platform import traces, turns
from services.platform.database import transaction
from services.platform.logs import bound
from services.platform.queue import Task
from services.platform.turns import Item, Turns
from services.processes.verbs import VerbError
from workers import base_models, preparations
from workers.app import app
from workers.turns import take

logger = logging.getLogger(__name__)

served = Turns()


@app.task(name=Task.PREPARE)
def prepare() -> None:
    """Do the next item of the key whose turn it is."""
    do_next(jobs, unmade)


def do_next(*kinds: Callable[[Session], list[Item]]) -> None:
    with transaction() as session:
        waiting = [item for kind in kinds for item in kind(session)]
    with take(served, waiting) as item:
        if item is not None:
            item.work(item.id)


def jobs(session: Session) -> list[Item]:
    """Return the jobs whose data is still to be prepared, as far as this release can read them."""
    return turns.oldest(
        session,
        Job,
        prepare_job,
        Job.state == JobState.VALIDATING_FILES,
        func.coalesce(Job.available_at, Job.created_at) <= func.clock_timestamp(),
        claims.READABLE,
    )


def unmade(session: Session) -> list[Item]:
    """Return the base models that are still to be downloaded or merged."""
    return turns.oldest(
        session,
        BaseModelRecord,
        base_models.make_base,
        BaseModelRecord.status.in_(IN_THE_MAKING),
        BaseModelRecord.deleted_at.is_(None),
    )


def prepare_job(job_id: str) -> None:
    """Prepare one job's data. After an unexpected failure, the keeper tries again."""
    with bound(job=job_id), traces.span("prepare", job=job_id):
        try:
            preparations.prepare(job_id)
        except OperationalError:
            logger.warning("the database is away; the keeper sends this job again")
        except VerbError as failure:
            logger.warning("preparing the data failed: %s", failure)
            preparations.charge(job_id, str(failure))
        except Exception as error:
            logger.exception("preparing the data failed")
            preparations.charge(job_id, f"{type(error).__name__}: {error}")
