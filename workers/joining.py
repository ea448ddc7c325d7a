"""Run the ranks of one further node of a job that another worker leads.

The worker that leads reads the run's files, writes its end and is responsible for it. This worker
only keeps its own ranks alive while the job is held, and ends them when the job is no longer held.
"""

import logging
import time
from collections.abc import Callable
from functools import partial
from pathlib import Path

from sqlalchemy.exc import OperationalError

from models import Job
from orpo.contract import rundir
from orpo.contract.rundir import SPEC
from orpo.contract.spec import RunSpec, read_spec
from services.jobs import claims
from services.platform.database import transaction
from services.platform.settings import get_settings
from services.runs.launch import TrainingProcess, extend_deadline, launch
from workers.app import draining
from workers.claim import node_of

logger = logging.getLogger(__name__)


def assist(job: Job) -> None:
    """Return when this node's ranks have ended, or the job is no longer held."""
    run_dir = rundir.generation(get_settings().runs_dir / job.id, job.generation)
    spec = _spec(job, run_dir)
    if spec is None:
        return
    node = node_of(job)
    extend_deadline(run_dir, get_settings().lease_s, node.index)
    process = launch(run_dir, spec, verb=job.purpose, node=node, has_deadline=True)
    try:
        _follow(job, process, partial(extend_deadline, run_dir, node=node.index))
    finally:
        process.kill()


def _spec(job: Job, run_dir: Path) -> RunSpec | None:
    """The spec, once the worker that leads has written it; None if the job ends before that."""
    while _held(job):
        if (run_dir / SPEC).exists():
            return read_spec(run_dir)
        time.sleep(get_settings().heartbeat_s)
    return None


def _follow(job: Job, process: TrainingProcess, extend: Callable[[float], None]) -> None:
    seen = time.monotonic()
    while process.poll() is None and time.monotonic() - seen < get_settings().lease_s:
        try:
            if not _held(job):
                logger.warning("the job is no longer held; its ranks are ended")
                return
            seen = time.monotonic()
            extend(get_settings().lease_s)
        except OperationalError:
            logger.warning("the database is away; the training goes on until the lease ends")
        if draining.is_set():
            process.ask_to_stop()  # the ranks tell the others, and all save
            time.sleep(get_settings().heartbeat_s)
        else:
            draining.wait(get_settings().heartbeat_s)


def _held(job: Job) -> bool:
    with transaction() as session:
        return claims.is_held(session, job.id, job.generation)
