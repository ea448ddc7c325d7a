"""Run one claimed job to the end of this claim: launch, follow, heartbeat, stop, conclude.

Postgres decides which worker holds the job. The run's files say what happened; the process's exit
code is only a hint.
"""

import logging
import shutil
import time
from contextlib import suppress
from functools import partial
from pathlib import Path
from typing import Any

from sqlalchemy.exc import OperationalError

from models.jobs import JobState, Purpose
from orpo.contract.failures import Code
from orpo.contract.rundir import Event, Level
from orpo.contract.spec import write_spec
from services.evaluations import gates
from services.jobs import claims
from services.launchers import launchers
from services.launchers.cluster import Submission
from services.launchers.local import note_registered
from services.platform.database import transaction
from services.platform.errors import Fenced, is_disk_full
from services.platform.queue import Task, send
from services.platform.settings import get_settings
from services.processes import sandbox, verbs
from services.runs import checkpoints, deep_audits, job_events, results
from services.serving import engines
from workers.app import draining
from workers.claim import Claim
from workers.supervision import Supervision
from workers.tail import RunTail

logger = logging.getLogger(__name__)

ROOM_S = 60  # an engine is gone within seconds
# The end of a run that left no final event.
LOST = "lost"
# Errors that another attempt would only repeat.
FINAL_ERRORS = frozenset(
    {Code.NAN, Code.DIVERGED, Code.OUT_OF_MEMORY, Code.DISK_FULL, Code.LIMIT, Code.NOT_RESUMABLE}
    | {Code.BAD_SPEC, Code.BAD_DATA, Code.BAD_MODEL, Code.BASE_CHANGED}
)
NO_ROOM = {
    "code": Code.DISK_FULL,
    "message": "The disk that keeps the runs is full: free some space there and create the job "
    "again. Its last checkpoint is intact.",
    "param": None,
}


def train(claim: Claim) -> None:
    """Train under this claim until the run ends, is stopped, or the claim is lost."""
    try:
        _run(claim)
    except Fenced as fenced:
        logger.warning("%s The training is stopped.", fenced)
    except OperationalError:
        logger.exception("the database stayed away for longer than a lease: the job is lost")
    except OSError as error:
        logger.warning("this worker can't go on with the run: %s", error)
        _give_up(claim, error)
    except Exception as error:
        logger.exception("this worker can't go on with the run")
        _give_up(claim, error)


def _run(claim: Claim) -> None:
    _with_patience(partial(_await_room, claim))
    write_spec(claim.spec, claim.run_dir)
    note_registered(claim.run_dir, 0)
    process = launchers.start(
        claim.run_dir,
        claim.spec,
        verb=claim.purpose,
        node=claim.node,
        name=launchers.name_of(claim.job_id, claim.generation),
    )
    if isinstance(process, Submission):
        _with_patience(partial(_note_submission, claim, process))
    tail = RunTail(claim.run_dir, claim.job_id, claim.generation)
    try:
        supervision = Supervision(claim, process, tail)
        supervision.follow()
        process.kill()
        _with_patience(lambda: tail.drain(supervision.renew_when_due))
        _with_patience(supervision.renew)
        _with_patience(lambda: _conclude(claim, supervision))
    finally:
        process.kill()


def _note_submission(claim: Claim, submission: Submission) -> None:
    """Leave a trace of the cluster's job in the events, which stay after the run has ended."""
    asked = submission.request
    message = f"Submitted to {submission.cluster.title} as {asked.name}: {asked.size}."
    with transaction() as session:
        job_events.record(session, claim.job_id, claim.generation, message=message)


def _await_room(claim: Claim) -> None:
    """Hold the lease until deployments with `yields` have freed their devices, at most a minute."""
    if not launchers.is_local():  # engines take no device of a cluster's nodes
        return
    until = time.monotonic() + ROOM_S
    with transaction() as session:
        if engines.room_is_made(session):
            return
        send(session, Task.RECONCILE)
    while time.monotonic() < until and not draining.wait(get_settings().heartbeat_s):
        with transaction() as session:
            if engines.room_is_made(session):
                return
            claims.heartbeat(session, claim.job_id, claim.generation)
    logger.warning("deployments that should make room are still there; the training starts beside")


def _conclude(claim: Claim, supervision: Supervision) -> None:
    """Write the end of this claim, according to the run's last event."""
    job = (claim.job_id, claim.generation)
    # A run that had to stop before it could receive the signal leaves no event.
    unsaid = LOST if supervision.stop_asked_at is None else Event.STOPPED
    ended = supervision.tail.outcome or {"type": unsaid, "data": {}}
    if ended["type"] == LOST:
        ended = _why_lost(claim, supervision) or ended
    if ended["type"] == Event.FINISHED:
        _finish(claim, supervision.tail)
        return
    code = (ended.get("data") or {}).get("code")
    smaller = verbs.smaller_budget(supervision.tail.started) if code == Code.OUT_OF_MEMORY else None
    with transaction() as session:
        if ended["type"] == Event.STOPPED:
            claims.release(session, *job)
        elif smaller is not None:
            message = f"Out of memory; again with {smaller:,} tokens in a forward pass."
            job_events.record(session, *job, message=message, level=Level.WARN)
            claims.shrink(session, *job, smaller)
        elif code in FINAL_ERRORS:
            claims.fail(session, *job, {**ended["data"], "message": ended["message"]})
        elif code == Code.BAD_CHECKPOINT and claim.checkpoint_id:
            # No attempt is charged: each time one checkpoint fewer is left, and in the end none.
            checkpoints.mark_damaged(session, claim.checkpoint_id)
            message = f"{ended['message']} Going on from what was saved before it."
            job_events.record(session, *job, message=message, level=Level.WARN)
            claims.release(session, *job)
        else:
            reason = ended.get("message") or supervision.last_words()
            state = claims.lose(session, *job, reason)
            logger.warning("the training was lost: %s The job is %s now.", reason, state)


def _why_lost(claim: Claim, supervision: Supervision) -> dict[str, Any] | None:
    """The error of a run that was ended before it could write one: a full disk, a limit."""
    if _is_full(claim.run_dir):
        return {"type": Event.ERROR, "message": NO_ROOM["message"], "data": NO_ROOM}
    exit_code = supervision.process.poll()
    if exit_code not in sandbox.BROKEN:
        return None
    code = Code.OUT_OF_MEMORY if exit_code == sandbox.TOO_MUCH_MEMORY else Code.LIMIT
    data = {"code": code, "hint": sandbox.HINT}
    return {"type": Event.ERROR, "message": f"Ended: {sandbox.BROKEN[exit_code]}", "data": data}


def _finish(claim: Claim, tail: RunTail) -> None:
    job = (claim.job_id, claim.generation)
    with transaction() as session:
        # It is true if the database went away after the first of the two transactions.
        finalizing = claims.held(session, *job).state == JobState.FINALIZING
        if not finalizing and not claims.finalize(session, *job):
            claims.release(session, *job)
            return
    with transaction() as session:
        if claim.purpose is Purpose.TRAIN:
            gates.evaluate(session, results.register(session, *job))
            return
        if claim.purpose is Purpose.DEEP_AUDIT:
            deep_audits.register(session, *job, claim.run_dir, tail.result or {})
        else:
            claims.succeed_with_estimate(session, *job, tail.result or {})
    shutil.rmtree(claim.run_dir.parent, ignore_errors=True)  # none of it is needed again


def _give_up(claim: Claim, error: Exception) -> None:
    """Release a run whose files this worker can't read, write or understand."""

    def let_go() -> None:
        job = (claim.job_id, claim.generation)
        with transaction() as session:
            if is_disk_full(error):
                claims.fail(session, *job, NO_ROOM)
            else:
                what = f"{type(error).__name__}: {error}"
                claims.lose(session, *job, f"The worker could not go on ({what})")

    with suppress(Fenced):
        _with_patience(let_go)


def _is_full(folder: Path) -> bool:
    """Whether the disk is full, so that a run that ended could not have written an event."""
    probe = folder / "room"
    try:
        probe.write_bytes(bytes(2**16))
    except OSError as error:
        return is_disk_full(error)
    finally:
        with suppress(OSError):
            probe.unlink()
    return False


def _with_patience(step: Any) -> None:
    """Run a step again while the database is away; a lost lease ends it with Fenced."""
    until = time.monotonic() + 2 * get_settings().lease_s
    while True:
        try:
            return step()
        except OperationalError:
            if time.monotonic() > until:
                raise
            time.sleep(0.5)
