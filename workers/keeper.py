"""The keeper: loops that publish wake-ups, take back lost jobs and repeat wake-ups that were lost.

Many may run; an advisory lock of Postgres lets one work. It holds no state of its own.
"""

import logging
import signal
import threading
import time
from collections.abc import Callable, Set
from typing import Any

import redis
from sqlalchemy import func, select, text
from sqlalchemy.orm import Session

from models import BaseModelRecord, File, Job
from models.base_models import IN_THE_MAKING
from models.files import FileStatus
from models.jobs import EVALUATED, TRAINED, DesiredState, JobState, Purpose
from services.access import sign_ins
from services.evaluations import deployed
from services.files import ended_uploads, files
from services.jobs import claims
from services.platform import logs, queue
from services.platform.database import engine, take, transaction
from services.platform.locks import Lock
from services.platform.queue import Task
from services.platform.settings import get_settings
from services.runs import mirrors
from services.serving import deployments
from services.upkeep import removals
from services.webhooks import deliveries
from workers.app import app

logger = logging.getLogger(__name__)


FORGOTTEN_AFTER = text("interval '30 seconds'")
stopping = threading.Event()


def publish(task: str, arguments: dict[str, Any]) -> None:
    app.send_task(task, kwargs=arguments)


def dispatch() -> None:
    with transaction() as session:
        queue.dispatch(session, publish)


def reap() -> None:
    with transaction() as session:
        for job_id in claims.reap(session):
            logger.warning("took back a job whose worker stopped answering", extra={"job": job_id})


def rewake() -> None:
    """Wake workers for what is waiting, unless a wake-up waits already in that queue."""
    broker = redis.Redis.from_url(get_settings().redis_url, socket_timeout=5)
    with transaction() as session:
        if not broker.llen("train") and _queued(session, TRAINED):
            queue.send(session, Task.TRAIN)
        if not broker.llen("evals") and _queued(session, EVALUATED):
            queue.send(session, Task.EVALUATE)
        if not broker.llen("serve") and deployments.needs_reconcile(session):
            queue.send(session, Task.RECONCILE)
        if not broker.llen("files"):
            if deliveries.are_due(session):
                queue.send(session, Task.DELIVER)
            if mirrors.are_due(session):
                queue.send(session, Task.MIRROR)
            _rewake_files(session)
        if not broker.llen("prepare"):
            _rewake_prepare(session)


def _queued(session: Session, purposes: Set[Purpose]) -> bool:
    waiting = select(Job.id).where(
        Job.purpose.in_(purposes),
        Job.state == JobState.QUEUED,
        Job.desired_state == DesiredState.RUN,
        func.coalesce(Job.available_at, Job.created_at) <= func.clock_timestamp(),
    )
    return session.scalar(waiting.limit(1)) is not None


def _rewake_files(session: Session) -> None:
    old = func.clock_timestamp() - FORGOTTEN_AFTER
    unread = select(File.id).where(
        File.status == FileStatus.UPLOADED, File.deleted_at.is_(None), File.created_at < old
    )
    for file_id in session.scalars(unread):
        queue.send(session, Task.VALIDATE_FILE, file_id=file_id)


def _rewake_prepare(session: Session) -> None:
    """Send a wake-up for each item: one message makes a worker do one item."""
    old = func.clock_timestamp() - FORGOTTEN_AFTER
    unprepared = select(Job.id).where(
        Job.state == JobState.VALIDATING_FILES,
        Job.created_at < old,
        func.coalesce(Job.available_at, Job.created_at) <= func.clock_timestamp(),
    )
    missing = select(BaseModelRecord.id).where(
        BaseModelRecord.status.in_(IN_THE_MAKING),
        BaseModelRecord.deleted_at.is_(None),
        BaseModelRecord.created_at < old,
    )
    for _ in [*session.scalars(unprepared), *session.scalars(missing)]:
        queue.send(session, Task.PREPARE)


def take_back() -> None:
    """Stop what evaluations have deployed for themselves, however they have ended."""
    with transaction() as session:
        for deployment_id in deployed.take_back(session):
            logger.info("an evaluation has ended", extra={"deployment": deployment_id})


def remove() -> None:
    """Wake a worker that removes what is marked as deleted, while something is left."""
    with transaction() as session:
        files.expire(session)
        if removals.pending(session):
            queue.send(session, Task.REMOVE)


def prune() -> None:
    with transaction() as session:
        queue.prune(session)
        sign_ins.forget_expired(session)
        ended_uploads.forget_old(session)
        deliveries.forget_old(session)
        queue.send(session, Task.TIDY)


LOOPS: list[tuple[Callable[[], None], float]] = [
    (dispatch, 0.2),
    (reap, 1.0),
    (rewake, 2.0),
    (take_back, 2.0),
    (remove, 10.0),
    (prune, 600.0),
]


def keep() -> None:
    """Run every loop at its pace while this process holds the lock and wasn't asked to stop."""
    due = dict.fromkeys((loop for loop, _ in LOOPS), 0.0)
    with engine().connect().execution_options(isolation_level="AUTOCOMMIT") as connection:
        if not take(connection, Lock.KEEPER):
            return
        logger.info("keeping")
        while not stopping.is_set():
            # Raises if the connection is lost, and the lock with it: another keeper may then work.
            # `locks.silent_s` reads when this query last ran.
            connection.execute(select(1))
            for loop, pace_s in LOOPS:
                if time.monotonic() >= due[loop]:
                    _run(loop)
                    due[loop] = time.monotonic() + pace_s
            stopping.wait(0.1)


def _run(loop: Callable[[], None]) -> None:
    """A loop that fails (a broker or a database that is away) is tried again at its next turn."""
    try:
        loop()
    except Exception as error:  # noqa: BLE001 - a loop outlives whatever one turn meets
        logger.warning("%s failed: %s: %s", loop.__name__, type(error).__name__, error)
        stopping.wait(1)


def main() -> None:
    logs.configure()
    for number in (signal.SIGTERM, signal.SIGINT):
        signal.signal(number, lambda *_: stopping.set())
    while not stopping.is_set():
        try:
            keep()
        except Exception as error:  # noqa: BLE001 - the same, for the connection
            logger.warning("the keeper starts again: %s", error)
        stopping.wait(1)


if __name__ == "__main__":
    main()
