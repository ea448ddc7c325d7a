"""Makes the core's spec from a job's row, not from a file on disk, which could be edited."""

from pathlib import Path
from typing import Any

from pydantic import TypeAdapter
from sqlalchemy.orm import Session

from models import BaseModelRecord, Job
from orpo.contract.methods import Method
from orpo.contract.on_policy import OnPolicy
from orpo.contract.rundir import HELD_OUT_ROWS, TRAIN_ROWS
from orpo.contract.spec import RunSpec
from services.jobs import reward_models
from services.platform.settings import get_settings
from services.runs import checkpoints, prepared

_METHOD: TypeAdapter[Method] = TypeAdapter(Method)


def spec_of(session: Session, job: Job) -> RunSpec:
    """Return the spec of a run of this job from its first step, on one node.

    Raises pydantic's ValidationError if this release does not know the method.
    """
    data = prepared.folder(job.id)
    base = session.get_one(BaseModelRecord, job.base_model)
    method = _METHOD.validate_python(job.method)
    return RunSpec(
        job_id=job.id,
        **base_of(base),
        train_path=data / TRAIN_ROWS,
        held_out_path=data / HELD_OUT_ROWS,
        tokens_path=get_settings().tokens_dir,
        method=method,
        reward_path=_reward_path(session, job, method),
        seed=job.seed,
    )


def base_of(base: BaseModelRecord) -> dict[str, Any]:
    """Return the fields of a spec that name a base model, as it was registered."""
    return {
        "base_model": base.id,
        "base_model_path": Path(base.path),
        "base_sha256": base.info.get("sha256"),
        "base_files": base.info.get("files"),
    }


def _reward_path(session: Session, job: Job, method: Method) -> Path | None:
    """The folder of the method's reward model; None if it needs none, or if it was deleted (the
    core then says so).
    """
    if not isinstance(method, OnPolicy):
        return None
    found = reward_models.find(session, job.org_id, method.reward_model)
    return checkpoints.folder(found[0]) if found else None
