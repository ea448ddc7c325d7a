"""Run one claimed job to the end of this claim: launch, follow, heartbeat, stop, conclude.

The order of trust: Postgres says who holds the job, the run's files say what happened, and the
process's exit code is only a hint.
"""

import errno
import logging
import shutil
import socket
import time
from contextlib import suppress
from dataclasses import dataclass, field
from functools import partial
from pathlib import Path
from typing import Any

from sqlalchemy.exc import OperationalError
from sqlalchemy.orm import Session

from models import Job
from models.jobs import DesiredState, JobState, Purpose
from orpo.spec import RunSpec, write_spec
from services import checkpoints, claims, engines, job_events, results, verbs
from services.database import transaction
from services.errors import Fenced
from services.queue import Task, send
from services.settings import get_settings
from workers.app import draining
from workers.process import (
    Node,
    TrainingProcess,
    extend_deadline,
    launch_training,
    note_registered,
)
from workers.tail import RunTail

logger = logging.getLogger(__name__)

TICK_S = 0.2
ROOM_S = 60  # an engine is gone within seconds
# Ends that another attempt would only repeat.
FINAL_ERRORS = frozenset(
    {"nan", "out_of_memory", "disk_full", "bad_spec", "bad_data", "not_resumable"}
)
UNREADABLE = {
    "code": "bad_spec",
    "message": "The prepared data of this job is missing, or another version of Oddsmith wrote it: "
    "create the job again.",
    "param": None,
}

FULL = frozenset({errno.ENOSPC, errno.EDQUOT})
NO_ROOM = {
    "code": "disk_full",
    "message": "The disk that keeps the runs is full: free some space there and create the job "
    "again. Its last checkpoint is intact.",
    "param": None,
}


@dataclass
class Claim:
    """What a worker needs of a job that it has claimed."""

    job_id: str
    generation: int
    spec: RunSpec
    checkpoint_id: str | None
    run_dir: Path
    purpose: Purpose = Purpose.TRAIN
    node: Node = field(default_factory=Node)


def describe(job: Job) -> Claim | None:
    """Resolve the claimed job into a spec that reads from nowhere else.

    None where its prepared data can't be read: the job has failed then, since each further claim
    would end the same way.
    """
    try:
        with transaction() as session:
            return _resolve(session, job)
    except (OSError, ValueError) as reason:
        logger.warning("the prepared data can't be read: %s", reason)
        with transaction() as session:
            claims.fail(session, job.id, job.generation, UNREADABLE)
        return None


def _resolve(session: Session, job: Job) -> Claim:
    root = get_settings().runs_dir / job.id
    newest = checkpoints.latest(session, job.id)
    held_out = root / "data" / "held_out.jsonl"
    prepared = RunSpec.model_validate_json((root / "data" / "spec.json").read_bytes())
    method = prepared.method
    if smaller := (job.prepared or {}).get("token_budget"):
        method = method.model_copy(update={"token_budget": smaller})
    spec = prepared.model_copy(
        update={
            "method": method,
            "rendezvous": _rendezvous() if method.nodes > 1 else None,
            "generation": job.generation,
            "held_out_path": held_out if held_out.exists() else None,
            "resume_from": checkpoints.folder(newest) if newest else None,
        }
    )
    return Claim(
        job.id,
        job.generation,
        spec,
        newest.id if newest else None,
        root / f"g{job.generation}",
        Purpose(job.purpose),
        node_of(job),
    )


def node_of(job: Job) -> Node:
    """The place that was last added to the job's: the worker's that just claimed or joined it."""
    place = job.placement[-1] if job.placement else {"devices": []}
    return Node(max(0, len(job.placement) - 1), tuple(place["devices"]))


def _rendezvous() -> str:
    """Where the other nodes find this one."""
    with socket.socket() as listener:
        listener.bind(("", 0))
        address = get_settings().node_address or socket.gethostname()
        return f"{address}:{listener.getsockname()[1]}"


def train(claim: Claim) -> None:
    """Train under this claim until the run ends, is stopped, or the claim is lost."""
    try:
        _run(claim)
    except Fenced as fenced:
        logger.warning("%s The training is stopped.", fenced)
    except OSError as error:
        logger.warning("this worker can't go on with the run: %s", error)
        with suppress(Fenced):
            _with_patience(partial(_give_up, claim, error))


def _run(claim: Claim) -> None:
    _with_patience(partial(_await_room, claim))
    write_spec(claim.spec, claim.run_dir)
    deadline_file = claim.run_dir / "deadline"
    extend_deadline(deadline_file, get_settings().lease_s)
    note_registered(claim.run_dir, 0)
    process = launch_training(
        claim.run_dir, claim.spec, deadline_file, verb=claim.purpose, node=claim.node
    )
    tail = RunTail(claim.run_dir, claim.job_id, claim.generation)
    try:
        supervision = Supervision(claim, process, tail, deadline_file)
        supervision.follow()
        process.kill()
        _with_patience(lambda: tail.drain(supervision.renew_when_due))
        _with_patience(supervision.renew)
        _with_patience(lambda: _conclude(claim, supervision))
    finally:
        process.kill()


def _await_room(claim: Claim) -> None:
    """Hold the lease until deployments that make room for jobs have made it, or a minute is up."""
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


@dataclass
class Supervision:
    """The loop around a running training process."""

    claim: Claim
    process: TrainingProcess
    tail: RunTail
    deadline_file: Path
    running: bool = False
    stop_asked_at: float | None = None
    stop_heard: bool = False
    renewed_at: float = field(default_factory=time.monotonic)
    first_seen: tuple[int, float] | None = None
    heard_at: float = field(default_factory=time.monotonic)
    stalled: bool = False

    def follow(self) -> None:
        """Return when the process has ended. Raises Fenced once the lease can't be held."""
        settings = get_settings()
        beat_at = 0.0
        while self.process.poll() is None:
            now = time.monotonic()
            if now - self.renewed_at > settings.lease_s:
                raise Fenced(f"The lease of {self.claim.job_id} could not be renewed in time.")
            try:
                if self.tail.flush():
                    self.heard_at = now
                if now >= beat_at:
                    self._beat()
                    beat_at = now + settings.heartbeat_s
            except OperationalError:
                logger.warning("the database is away; the training goes on until its lease ends")
            self._enforce_stop(now)
            self._enforce_progress(now)
            time.sleep(TICK_S)

    def renew(self) -> DesiredState:
        """Renew the lease, store how far the run is, and return what a person wants of it."""
        with transaction() as session:
            if not self.running and self.tail.steps is not None:
                claims.start(session, self.claim.job_id, self.claim.generation)
            desired = claims.heartbeat(
                session, self.claim.job_id, self.claim.generation, self._progress()
            )
        self.running = self.tail.steps is not None
        self.renewed_at = time.monotonic()
        return desired

    def renew_when_due(self) -> None:
        """Hold the lease while what the run has left behind is stored, however much that is."""
        if time.monotonic() - self.renewed_at > get_settings().heartbeat_s:
            self.renew()

    def _beat(self) -> None:
        desired = self.renew()
        extend_deadline(self.deadline_file, get_settings().lease_s)
        if desired != DesiredState.RUN:
            self._ask_to_stop()

    def _ask_to_stop(self) -> None:
        if self.stop_asked_at is None:
            self.stop_asked_at = time.monotonic()
        # Until torchrun has started its ranks nobody hears it.
        self.stop_heard = self.stop_heard or self.process.ask_to_stop()

    def _enforce_stop(self, now: float) -> None:
        if draining.is_set() or self.stop_asked_at is not None:
            self._ask_to_stop()
        if self.stop_asked_at is not None and now - self.stop_asked_at > get_settings().drain_s:
            logger.warning("the training did not stop within %s s", get_settings().drain_s)
            self.process.kill()

    def _enforce_progress(self, now: float) -> None:
        """End a training that hangs: ranks that wait for a hung one would wait half an hour.

        Loading a model says nothing and may take long, so the time runs from the first line on.
        """
        limit_s = get_settings().stall_s
        if self.tail.steps is not None and now - self.heard_at > limit_s:
            logger.warning("the training has written nothing for %s s", limit_s)
            self.stalled = True
            self.process.kill()

    def last_words(self) -> str:
        """Why the training ended, where it left no word of its own."""
        if self.stalled:
            return f"The training hung: it wrote nothing for {get_settings().stall_s:.0f} s."
        return f"The training process ended with code {self.process.poll()}."

    def _progress(self) -> dict[str, Any] | None:
        """The newest step, with the time left at the pace seen since this claim's first step."""
        progress = self.tail.progress
        if not progress or not progress.get("steps"):
            return None
        step, now = progress["step"], time.monotonic()
        if self.first_seen is None:
            self.first_seen = (step, now)
        first_step, first_at = self.first_seen
        if step == first_step:
            return progress
        step_s = (now - first_at) / (step - first_step)
        return {**progress, "eta_s": round(step_s * (progress["steps"] - step), 1)}


def _conclude(claim: Claim, supervision: Supervision) -> None:
    """Write the end of this claim as the run's own last event tells it."""
    job = (claim.job_id, claim.generation)
    # A run that was told to stop before it could listen leaves no event.
    unsaid = "lost" if supervision.stop_asked_at is None else "stopped"
    ended = supervision.tail.outcome or {"type": unsaid, "data": {}}
    if ended["type"] == "lost" and _is_full(claim.run_dir):
        ended = {"type": "error", "message": NO_ROOM["message"], "data": NO_ROOM}
    if ended["type"] == "finished":
        _finish(claim, supervision.tail)
        return
    code = (ended.get("data") or {}).get("code")
    smaller = verbs.smaller_budget(supervision.tail.started) if code == "out_of_memory" else None
    with transaction() as session:
        if ended["type"] == "stopped":
            claims.release(session, *job)
        elif smaller is not None:
            message = f"Out of memory; again with {smaller:,} tokens in a forward pass."
            job_events.record(session, *job, message=message, level="warning")
            claims.shrink(session, *job, smaller)
        elif code in FINAL_ERRORS:
            claims.fail(session, *job, _error(ended))
        else:
            if code == "bad_checkpoint" and claim.checkpoint_id:
                checkpoints.mark_damaged(session, claim.checkpoint_id)
            reason = ended.get("message") or supervision.last_words()
            state = claims.lose(session, *job, reason)
            logger.warning("the training was lost: %s The job is %s now.", reason, state)


def _finish(claim: Claim, tail: RunTail) -> None:
    job = (claim.job_id, claim.generation)
    with transaction() as session:
        # True also where the database went away after the first of the two transactions.
        finalizing = claims.held(session, *job).state == JobState.FINALIZING
        if not finalizing and not claims.finalize(session, *job):
            claims.release(session, *job)
            return
    with transaction() as session:
        if claim.purpose is Purpose.TRAIN:
            results.register(session, *job)
            return
        claims.succeed_with_estimate(session, *job, tail.estimate or {})
    shutil.rmtree(claim.run_dir.parent, ignore_errors=True)  # nothing of it is asked for again


def _give_up(claim: Claim, error: OSError) -> None:
    """Let go of a run whose files this worker can't read or write."""
    job = (claim.job_id, claim.generation)
    with transaction() as session:
        if error.errno in FULL:
            claims.fail(session, *job, NO_ROOM)
        else:
            claims.lose(session, *job, f"The worker could not go on: {error}")


def _is_full(folder: Path) -> bool:
    """Say whether a run that died without a word could not have written one."""
    probe = folder / "room"
    try:
        probe.write_bytes(bytes(2**16))
    except OSError as error:
        return error.errno in FULL
    finally:
        with suppress(OSError):
            probe.unlink()
    return False


def _error(event: dict[str, Any]) -> dict[str, Any]:
    data = event.get("data") or {}
    hint = f" {data['hint']}" if data.get("hint") else ""
    return {
        "code": data["code"],
        "message": f"{event['message']}{hint}",
        "param": data.get("param"),
    }


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
