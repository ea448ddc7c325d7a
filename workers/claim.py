"""A claimed job as its worker needs it: a spec that reads from nowhere else, and its place."""

import logging
import socket
from dataclasses import dataclass, field
from pathlib import Path

from sqlalchemy.orm import Session

from models import Job
from models.jobs import Purpose
from orpo.spec import RunSpec
from services import checkpoints, claims
from services.database import transaction
from services.settings import get_settings
from workers.process import Node

logger = logging.getLogger(__name__)

UNREADABLE = {
    "code": "bad_spec",
    "message": "The prepared data of this job is missing, or another version of Oddsmith wrote it: "
    "create the job again.",
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
            "tokens_path": get_settings().tokens_dir,
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
