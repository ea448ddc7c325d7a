"""Removing what is marked as deleted: files on disk first, rows last.

Each step may be interrupted and repeated: a missing file is no error. What others still read, or an
engine has loaded, waits for the next turn. Only one process removes at a time.
"""

import logging
from collections.abc import Callable
from pathlib import Path
from typing import Any

from sqlalchemy import Select, delete, func, or_, select, union_all, update
from sqlalchemy.orm import Session

from models import (
    Checkpoint,
    Deployment,
    Engine,
    Evaluation,
    EvaluationItem,
    File,
    Job,
    JobEvent,
    Metric,
    MetricBucket,
    Mirror,
    PairScore,
    Sample,
    Upload,
)
from models.deployments import DeploymentStatus
from orpo.contract.rundir import MODEL
from services.files import contents, ended_uploads
from services.files.keys import keys_of
from services.jobs.integrations import Tracker
from services.jobs.states import ENDED
from services.platform import folders, run_folder, storage
from services.platform.database import alone, transaction
from services.platform.settings import get_settings
from services.runs import checkpoints, prepared
from services.serving import engines, weights

logger = logging.getLogger("oddsmith.removals")

LOCK = "removals"
CHECKPOINTS = select(Checkpoint.id).where(Checkpoint.deleted_at.is_not(None))
JOBS = select(Job.id).where(Job.deleted_at.is_not(None))
FILES = select(File.id).where(File.deleted_at.is_not(None), File.erased_at.is_(None))
# Pending uploads that have expired, too.
UPLOADS = ended_uploads.WITH_PARTS
# Rows that belong to a job alone.
OF_JOB = (Metric, MetricBucket, PairScore, Sample, JobEvent, Mirror)


def pending(session: Session) -> bool:
    """Whether anything is marked as deleted and not removed yet."""
    waiting = union_all(CHECKPOINTS, JOBS, UPLOADS, FILES).limit(1)
    return session.execute(waiting).first() is not None


def remove_all() -> int:
    """Remove what is marked, and return how much of it has to wait for a later turn."""
    with alone(LOCK) as mine:
        if not mine:
            return 0  # another does it
        with transaction() as session:
            if stranger := run_folder.stranger(session):
                logger.warning("nothing is removed: %s", stranger)
                return 0
        # The checkpoints of a job are removed before the job, parts before the file of an upload.
        steps = (
            (CHECKPOINTS, remove_checkpoint),
            (JOBS, remove_job),
            (UPLOADS, remove_parts),
            (FILES, remove_file),
        )
        return sum(_each(marked, remove) for marked, remove in steps)


def _each(marked: Select[Any], remove: Callable[[str], bool]) -> int:
    with transaction() as session:
        ids = list(session.scalars(marked))
    left = 0
    for marked_id in ids:
        try:
            done = remove(marked_id)
        except OSError:
            logger.exception("could not be removed yet", extra={"id": marked_id})
            done = False
        left += not done
    return left


def remove_checkpoint(checkpoint_id: str) -> bool:
    """Remove a deleted checkpoint's files, what was made of them, and its row.

    False where it is being read, or an engine has it loaded.
    """
    with transaction() as session:
        found = session.get(Checkpoint, checkpoint_id)
        if found is None or found.deleted_at is None:
            return True
        if _is_loaded(session, found):
            return False
    merged, gguf, lock = weights.made_of(checkpoint_id)
    # The source first: from then on nothing is made of it.
    if not folders.remove(checkpoints.folder(found)) or not folders.remove(merged):
        return False
    for file in (gguf, lock):
        file.unlink(missing_ok=True)
    with transaction() as session:
        # A run that saved the same step again has brought the row back, with another folder.
        same = session.scalar(
            select(Checkpoint.id)
            .where(Checkpoint.id == checkpoint_id, Checkpoint.deleted_at.is_not(None))
            .where(Checkpoint.path == found.path)
            .with_for_update()
        )
        if same is not None:
            session.execute(delete(Deployment).where(Deployment.checkpoint_id == checkpoint_id))
            session.execute(delete(Checkpoint).where(Checkpoint.id == checkpoint_id))
    return True


def _is_loaded(session: Session, checkpoint: Checkpoint) -> bool:
    """Whether an engine serves it, or has whole weights of it open."""
    whole = (str(checkpoints.folder(checkpoint) / MODEL), str(weights.made_of(checkpoint.id)[0]))
    engine = select(Engine.id).where(Engine.status.in_(engines.LIVE), Engine.weights.in_(whole))
    gone = (DeploymentStatus.STOPPED, DeploymentStatus.FAILED)
    served = select(Deployment.id).where(
        Deployment.checkpoint_id == checkpoint.id,
        or_(Deployment.desired == "run", Deployment.status.not_in(gone)),
    )
    return bool(session.scalar(select(engine.exists() | served.exists())))


def remove_job(job_id: str) -> bool:
    """Remove a deleted job's run folder and its rows; False while a checkpoint of it is there."""
    with transaction() as session:
        left = select(Checkpoint.id).where(Checkpoint.job_id == job_id).limit(1)
        if session.scalar(left) is not None:
            return False
    # A preparation that a cancel has not ended yet still writes there.
    with alone(job_id) as mine:
        if not mine:
            return False
        prepared.erase(job_id, ())
        if not folders.remove(run_folder_of(job_id)):
            return False
        if not all(map(folders.remove, _mirrored(job_id))):
            return False
    for record in OF_JOB:
        with transaction() as session:
            session.execute(delete(record).where(record.job_id == job_id))
    with transaction() as session:
        session.execute(delete(EvaluationItem).where(EvaluationItem.evaluation_id == job_id))
        session.execute(delete(Evaluation).where(Evaluation.id == job_id))
        # Evaluations outlive the job whose gates they were for.
        of_gates = update(Evaluation).where(Evaluation.gated_job_id == job_id)
        session.execute(of_gates.values(gated_job_id=None))
        session.execute(delete(Job).where(Job.id == job_id, Job.deleted_at.is_not(None)))
    return True


def _mirrored(job_id: str) -> list[Path]:
    """The folders that mirrors of a job have written: event and offline files, and MLflow's."""
    trackers = get_settings().trackers_dir
    with transaction() as session:
        run_ids = session.scalars(
            select(Mirror.run_id).where(Mirror.job_id == job_id, Mirror.type == Tracker.MLFLOW)
        ).all()
    of_mlflow = [
        folder
        for run_id in filter(None, run_ids)
        if run_id.isalnum()
        for folder in (trackers / "mlflow").glob(f"*/{run_id}")
    ]
    return [trackers / job_id, *of_mlflow]


def run_folder_of(job_id: str) -> Path:
    return get_settings().runs_dir / job_id


def remove_parts(upload_id: str) -> bool:
    """Remove the parts of an upload that is no longer pending; False while one assembles them."""
    with alone(upload_id) as mine:
        if not mine:
            return False
        with transaction() as session:
            keys = ended_uploads.end(session, upload_id)
        for key in keys:
            storage.delete(key)
        with transaction() as session:
            ended_uploads.forget_parts(session, upload_id)
    return True


def remove_file(file_id: str) -> bool:
    """Remove a deleted file's bytes, and its rows in the data of jobs that have ended."""
    with transaction() as session:
        file = session.get_one(File, file_id)
        made_of = select(Upload.id).where(Upload.file_id == file_id, Upload.erased_at.is_(None))
        if session.scalar(made_of) is not None:
            return False  # its parts are removed first
        used_by = session.scalars(
            select(Job)
            .where(or_(Job.training_file == file_id, Job.validation_file == file_id))
            .where(Job.state.in_(ENDED))
        ).all()
    busy = [job.id for job in used_by if not _erase_rows(job, file_id)]
    if busy:
        return False
    # A worker that still checks it would write its rows again.
    with alone(file_id) as mine:
        if not mine:
            return False
        for key in {file.rows_key, *keys_of(file_id)}:
            storage.delete(key)
        with transaction() as session:
            contents.release(session, file)
    with transaction() as session:
        # The upload that the file was made of holds its name, too.
        session.execute(delete(Upload).where(Upload.file_id == file_id))
        gone = session.get_one(File, file_id, with_for_update=True)
        gone.erased_at = func.clock_timestamp()
        # These quote the content of the file.
        gone.filename, gone.report, gone.status_details = "", None, None
        gone.recipe = None
        # So do the prompts of evaluations, which keep their answers and scores.
        of_file = select(Job.id).where(Job.training_file == file_id)
        items = update(EvaluationItem).where(EvaluationItem.evaluation_id.in_(of_file))
        session.execute(items.values(turns=[], reference={}))
    return True


def _erase_rows(job: Job, file_id: str) -> bool:
    with alone(job.id) as mine:
        if mine:
            prepared.erase(job.id, prepared.rows_of(job, file_id))
        return mine
