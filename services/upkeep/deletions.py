"""Deleting jobs and checkpoints. A deletion is refused while something needs the object.

It is first marked as deleted and committed, so that it is no longer found. Then
`services/upkeep/removals.py` removes the files, and the rows last.
"""

from collections.abc import Iterable, Sequence
from pathlib import Path

from sqlalchemy import func, select, update
from sqlalchemy.orm import Session

from models import BaseModelRecord, Checkpoint, Deployment, Evaluation, File, Job
from models.jobs import Purpose
from services.access import api_keys, audit_log
from services.access.audit_log import Action, Object
from services.access.callers import Caller
from services.jobs import jobs, reward_models
from services.jobs.states import ENDED
from services.platform.errors import Conflict
from services.platform.settings import get_settings
from services.runs import checkpoints
from services.runs.checkpoints import KEPT_AT_LEAST, undamaged_of


def delete_job(
    session: Session, caller: Caller, job_id: str, purpose: Purpose = Purpose.TRAIN
) -> None:
    """Delete a job that has ended, with its checkpoints, numbers, events and result files.

    Raises NotFound, and Conflict with what to do where the job has not ended, its gates are being
    evaluated, a deployment serves one of its checkpoints, or a base model lies in its folder.
    """
    job = jobs.get(session, caller, job_id, lock=True, purpose=purpose)
    if job.state not in ENDED:
        raise Conflict(
            f"The {jobs.NOUNS[purpose]} `{job_id}` has not ended ({job.state}). Cancel it, and "
            "delete it once it has ended.",
            param=jobs.PARAMS[purpose],
            code="job_not_ended",
        )
    _refuse_evaluated(session, job_id)
    found = session.scalars(
        select(Checkpoint).where(Checkpoint.job_id == job_id).with_for_update()
    ).all()
    _refuse_served(session, found)
    names = [job.fine_tuned_model, *(each.model for each in found)]
    _refuse_judge(session, job.org_id, names)
    _refuse_base(session, get_settings().runs_dir / job_id)
    now = func.clock_timestamp()
    checkpoints.mark_deleted(session, Checkpoint.job_id == job_id)
    session.execute(
        update(File)
        .where(File.id.in_(job.result_files), File.deleted_at.is_(None))
        .values(deleted_at=now)
    )
    job.deleted_at = now
    api_keys.revoke_raters(session, caller, job_id)
    facts = {"checkpoints": len(found), "state": job.state}
    audit_log.record(session, caller, Action.DELETED, jobs.kind_of(purpose), job_id, **facts)
    session.flush()


def delete_checkpoint(session: Session, caller: Caller, model_id: str) -> None:
    """Delete the checkpoint that a tuned model's id means.

    If it was the result of its job, the job then has no model: the id must never mean another step.
    Raises NotFound, and Conflict if a deployment serves it, its job may go on from it, or a base
    model lies in its folder.
    """
    found, job = checkpoints.resolve(session, caller, model_id)
    # In this order, as workers lock them: the job, then its checkpoint.
    job = jobs.get(session, caller, job.id, lock=True)
    if not checkpoints.lock(session, found):
        raise checkpoints.unknown(model_id)
    _refuse_served(session, [found])
    newest_first = session.scalars(undamaged_of(job.id)).all()
    result = job.fine_tuned_model if found in newest_first[:1] else None
    _refuse_judge(session, job.org_id, [found.model, result])
    _refuse_base(session, checkpoints.folder(found))
    if job.state not in ENDED and found in newest_first[:KEPT_AT_LEAST]:
        raise Conflict(
            f"The job `{job.id}` may go on from this checkpoint. Delete it once the job has ended, "
            "or cancel the job first.",
            param="model",
            code="model_in_use",
        )
    if job.fine_tuned_model is not None and found in newest_first[:1]:
        job.fine_tuned_model = None
    checkpoints.mark_deleted(session, Checkpoint.id == found.id)
    audit_log.record(
        session, caller, Action.DELETED, Object.MODEL, model_id, checkpoint=found.id, job=job.id
    )
    session.flush()


def _refuse_evaluated(session: Session, job_id: str) -> None:
    """Raise Conflict where an evaluation of the job's gates has not ended."""
    evaluation = session.scalar(
        select(Job.id)
        .join(Evaluation, Evaluation.id == Job.id)
        .where(Evaluation.gated_job_id == job_id, Job.state.not_in(ENDED))
        .limit(1)
    )
    if evaluation is not None:
        raise Conflict(
            f"The evaluation `{evaluation}` decides on the gates of this job and has not ended. "
            "Cancel it, or wait until it has ended.",
            param="fine_tuning_job_id",
            code="evaluation_not_ended",
        )


def _refuse_served(session: Session, found: Sequence[Checkpoint]) -> None:
    """Raise Conflict where one of these checkpoints is deployed, or on its way."""
    served = session.scalar(
        select(Deployment)
        .where(
            Deployment.checkpoint_id.in_([checkpoint.id for checkpoint in found]),
            Deployment.desired == "run",
        )
        .limit(1)
    )
    if served is not None:
        raise Conflict(
            f"`{served.model}` is deployed. Delete the deployment `{served.id}` first.",
            param="model",
            code="model_in_use",
        )


def _refuse_judge(session: Session, org_id: str, names: Iterable[str | None]) -> None:
    """Raise Conflict where a job that has not ended is scored by one of these models."""
    known = [name for name in names if name]
    if needs := reward_models.job_that_needs(session, org_id, known):
        raise Conflict(
            f"The job `{needs}` is scored by this model. Delete it once that job has ended, or "
            "cancel that job first.",
            param="model",
            code="model_in_use",
        )


def _refuse_base(session: Session, folder: Path) -> None:
    """Raise Conflict where a registered base model lies in `folder`."""
    registered = select(BaseModelRecord.id, BaseModelRecord.path).where(
        BaseModelRecord.deleted_at.is_(None)
    )
    for base_id, path in session.execute(registered):
        if Path(path).resolve().is_relative_to(folder.resolve()):
            raise Conflict(
                f"The base model `{base_id}` lies in these files. Delete that model first.",
                param="model",
                code="model_in_use",
            )
