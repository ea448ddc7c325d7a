"""What the stack does now, as one caller may see it: the jobs that wait, and the engines.

Another organisation's jobs count in a place in the queue and are not listed; an engine is shown to
those whose deployments it serves.
"""

import os
import socket
from collections.abc import Sequence
from contextlib import suppress
from dataclasses import dataclass

import psutil
from sqlalchemy import Select, func, select
from sqlalchemy.orm import Session

from models import Deployment, Engine, Job
from models.jobs import DesiredState
from services.access.callers import Caller
from services.jobs import waits
from services.jobs.waits import Wait, Waits
from services.processes import process_tree
from services.serving import deployments
from services.serving.deployments import Shown
from services.serving.engines import LIVE

# More are counted, and not listed.
LISTED = 100


@dataclass(frozen=True)
class Waiting:
    """A job that waits, and what for."""

    job: Job
    wait: Wait


@dataclass(frozen=True)
class Running:
    """An engine, and the caller's deployments on it.

    `host` is None for organisations that only use the installation. `memory_bytes` is what its
    processes have in main memory; None if they run on another machine or in another container.
    """

    engine: Engine
    host: str | None
    memory_bytes: int | None
    shown: list[Shown]


def waiting(session: Session, caller: Caller) -> tuple[list[Waiting], int]:
    """Return the caller's jobs that wait, in the order in which they are expected to start, at most
    LISTED; and how many wait in all, or may do so.
    """
    candidates = _candidates(caller)
    total = session.scalars(select(func.count()).select_from(candidates.subquery())).one()
    jobs = session.scalars(candidates.order_by(Job.created_at).limit(LISTED)).all()
    known = Waits(session)
    listed = [Waiting(job, wait) for job in jobs if (wait := known.of(job)) is not None]
    return sorted(listed, key=_order), total - (len(jobs) - len(listed))


def _candidates(caller: Caller) -> Select[Job]:
    return select(Job).where(
        Job.org_id == caller.org_id,
        Job.deleted_at.is_(None),
        Job.state.in_(waits.CAN_WAIT),
        Job.desired_state == DesiredState.RUN,
    )


def _order(each: Waiting) -> tuple[bool, int]:
    """Jobs with a place come first; the others stay in the order of their creation."""
    place = each.wait.place
    return place is None, place.position if place else 0


def engines(session: Session, caller: Caller) -> list[Running]:
    """Return the engines that serve, or will serve, deployments of the caller; with all their
    others for those who run the installation.
    """
    mine = select(Deployment).where(Deployment.org_id == caller.org_id, Deployment.desired == "run")
    found = deployments.show(session, session.scalars(mine).all())
    live = select(Engine).where(Engine.status.in_(LIVE)).order_by(Engine.created_at)
    running = [_running(engine, found, caller) for engine in session.scalars(live)]
    return [each for each in running if each.shown or caller.is_operator]


def _running(engine: Engine, found: Sequence[Shown], caller: Caller) -> Running:
    shown = [each for each in found if each.deployment.engine_id == engine.id]
    host = engine.worker.rpartition(":")[0]
    memory_bytes = _memory_bytes(engine) if host == socket.gethostname() else None
    return Running(engine, host if caller.is_operator else None, memory_bytes, shown)


def _memory_bytes(engine: Engine) -> int | None:
    """Resident memory of the processes in an engine's session; shared pages count in each."""
    if engine.pid is None or engine.pid_started is None:
        return None
    with suppress(psutil.Error):
        started = psutil.boot_time() + engine.pid_started / os.sysconf("SC_CLK_TCK")
        if abs(psutil.Process(engine.pid).create_time() - started) > 1:
            return None  # the pid has been given to another process
        return sum(_resident_bytes(each) for each in process_tree.session(engine.pid)) or None
    return None


def _resident_bytes(process: psutil.Process) -> int:
    with suppress(psutil.Error):
        return process.memory_info().rss
    return 0
