"""A claimed job as its worker needs it: a complete spec of the run, and the job's place."""

import logging
from dataclasses import dataclass, field
from pathlib import Path

from sqlalchemy.orm import Session

from models import Job
from models.jobs import Purpose
from orpo.contract import rundir
from orpo.contract.failures import Code
from orpo.contract.rundir import PARTS
from orpo.contract.spec import RunSpec
from services.jobs import claims
from services.launchers.local import Node
from services.platform import run_folder
from services.platform.database import transaction
from services.platform.settings import get_settings
from services.runs import checkpoints
from workers.spec import spec_of

logger = logging.getLogger(__name__)

UNREADABLE = {
    "code": Code.BAD_DATA,
    "message": "The prepared data of this job is gone from the run folder: create the job again.",
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
    """Resolve the claimed job into a complete spec, for which the run needs no other source.

    Returns None if the prepared data can't be read. If the data is gone, the job has failed, since
    each further claim would end the same way. If the whole run folder is away, or after another
    error of the disk, the claim is lost.
    """
    try:
        with transaction() as session:
            return _resolve(session, job)
    except (OSError, ValueError) as reason:
        logger.warning("the prepared data can't be read: %s", reason)
        with transaction() as session:
            if elsewhere := run_folder.stranger(session):
                claims.lose(session, job.id, job.generation, elsewhere)
            elif isinstance(reason, OSError) and not isinstance(reason, FileNotFoundError):
                sentence = f"The prepared data can't be read: {reason}"
                claims.lose(session, job.id, job.generation, sentence)
            else:
                claims.fail(session, job.id, job.generation, UNREADABLE)
        return None


def _resolve(session: Session, job: Job) -> Claim:
    root = get_settings().runs_dir / job.id
    newest = checkpoints.to_resume(session, job.id)
    whole = spec_of(session, job)
    whole.train_path.stat()
    method = whole.method
    if smaller := (job.prepared or {}).get("token_budget"):
        method = method.model_copy(update={"token_budget": smaller})
    held_out = whole.held_out_path
    spec = whole.model_copy(
        update={
            "method": method,
            "generation": job.generation,
            "held_out_path": held_out if held_out and held_out.exists() else None,
            "resume_from": checkpoints.folder(newest) if newest else _parts(job, root),
        }
    )
    return Claim(
        job.id,
        job.generation,
        spec,
        newest.id if newest else None,
        rundir.generation(root, job.generation),
        Purpose(job.purpose),
        _node(job),
    )


def _parts(job: Job, root: Path) -> Path | None:
    """The folder of the parts that earlier claims of a deep audit have measured: the fullest."""
    if job.purpose != Purpose.DEEP_AUDIT:
        return None
    folders = [each / PARTS for each in rundir.generations(root) if (each / PARTS).is_dir()]
    return max(folders, key=lambda folder: len(list(folder.glob("*.npz"))), default=None)


def _node(job: Job) -> Node:
    """This machine, and the GPUs of it that the claim has leased."""
    return Node(devices=tuple(job.placement[0]["devices"]) if job.placement else ())
