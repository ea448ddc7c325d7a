"""Committed checkpoints: registering, naming, finding. Without a row, there is no checkpoint.

A row with `deleted_at` is one whose files are being removed: no function here finds it.
"""

from collections.abc import Iterator, Sequence
from math import inf, isfinite
from pathlib import Path
from typing import Any

from sqlalchemy import Select, func, select, update
from sqlalchemy.dialects.postgresql import insert
from sqlalchemy.orm import Session

from models import Checkpoint, Job, Organization
from models.base import new_id
from models.checkpoints import WeightsKind
from orpo.contract import manifest
from orpo.contract.numbers import Series
from orpo.contract.rundir import Split
from services.access import audit_log
from services.access.audit_log import Action, Object
from services.access.callers import Caller
from services.jobs import claims
from services.platform.errors import NotFound, no_such
from services.platform.pages import paginate
from services.platform.queue import Task, send
from services.platform.settings import get_settings

# A run goes on from the newest one, or from the one before it where that is damaged.
KEPT_AT_LEAST = 2


def model_name(session: Session, job: Job) -> str:
    """`ft:<base>:<org>:<suffix>:<id>`, never reused; a `/` of the base's name becomes `--`."""
    org = session.get_one(Organization, job.org_id)
    base = job.base_model.replace("/", "--").replace(":", "-")
    return f"ft:{base}:{org.name}:{job.suffix or ''}:{job.id.removeprefix('ftjob-')[:12]}"


def register(session: Session, job_id: str, generation: int, data: dict[str, Any]) -> Checkpoint:
    """Register the committed folder that `data` describes as a checkpoint of the job (fenced).

    `data` is that of the core's `checkpoint` event: step, path within the generation's folder,
    sha256 of the weights, size_bytes, metrics of the splits. A step that was saved again by a later
    generation replaces the earlier row's content. Saving counts as progress and resets the count of
    attempts. Checkpoints beyond the job's `keep_checkpoints` are marked as deleted in the same
    transaction.
    """
    job = claims.held(session, job_id, generation)
    job.attempts = 0
    values = {
        "generation": generation,
        "path": f"{job_id}/g{generation}/{data['path']}",
        "kind": _kind(job.method),
        "sha256": data["sha256"],
        "size_bytes": data["size_bytes"],
        "metrics": _metrics(data),
        "damaged_at": None,
        "deleted_at": None,
    }
    session.execute(
        insert(Checkpoint)
        .values(
            id=new_id("ftckpt"),
            job_id=job_id,
            step=data["step"],
            model=f"{model_name(session, job)}:ckpt-step-{data['step']}",
            **values,
        )
        .on_conflict_do_update(index_elements=["job_id", "step"], set_=values)
    )
    _drop_surplus(session, job)
    return session.scalars(
        select(Checkpoint).where(Checkpoint.job_id == job_id, Checkpoint.step == data["step"])
    ).one()


def _drop_surplus(session: Session, job: Job) -> None:
    # A job of an earlier release does not have this setting, and keeps all.
    keep = job.method.get("keep_checkpoints", 0)
    dropped = surplus(session.scalars(undamaged_of(job.id)).all(), keep)
    if not dropped:
        return
    mark_deleted(session, Checkpoint.id.in_([checkpoint.id for checkpoint in dropped]))
    for checkpoint in dropped:
        about = (job.org_id, None, Action.PRUNED, Object.MODEL, checkpoint.model)
        audit_log.note(session, *about, job=job.id, keep_checkpoints=keep)


def surplus(newest_first: Sequence[Checkpoint], keep: int) -> list[Checkpoint]:
    """Return which of a job's undamaged checkpoints to delete: not the last `keep`, not the best.

    At least two stay, and all where `keep` is 0. The best has the lowest held-out loss; without
    held-out pairs there is none.
    """
    if keep == 0:
        return []
    older = newest_first[max(keep, KEPT_AT_LEAST) :]
    best = min(newest_first, key=_loss, default=None)
    return [each for each in older if each is not best or _loss(each) == inf]


def _loss(checkpoint: Checkpoint) -> float:
    loss = checkpoint.metrics.get("full_valid_loss")
    return loss if isinstance(loss, int | float) and isfinite(loss) else inf


def mark_deleted(session: Session, which: Any) -> None:
    """Mark checkpoints as deleted, and wake a worker that removes their files."""
    session.execute(update(Checkpoint).where(which).values(deleted_at=func.clock_timestamp()))
    send(session, Task.REMOVE)


def _kind(method: dict[str, Any]) -> WeightsKind:
    if method["tuning"] == "full":
        return WeightsKind.FULL
    # vLLM takes plain adapters only.
    unservable = method.get("use_dora") or method.get("modules_to_save")
    return WeightsKind.MERGED if unservable else WeightsKind.ADAPTER


def _metrics(data: dict[str, Any]) -> dict[str, Any]:
    """The held-out numbers by their names, with OpenAI's names for the two losses beside them."""
    splits = data.get("metrics") or {}
    train, held_out = splits.get(Split.TRAIN) or {}, splits.get(Split.HELD_OUT) or {}
    return {
        **held_out,
        "step": data["step"],
        "train_loss": train.get(Series.LOSS),
        "full_valid_loss": held_out.get(Series.LOSS),
    }


def latest(session: Session, job_id: str) -> Checkpoint | None:
    """Return the undamaged checkpoint of the highest step, or None."""
    return session.scalar(undamaged_of(job_id).limit(1))


def to_resume(session: Session, job_id: str) -> Checkpoint | None:
    """Return the newest checkpoint that a run can go on from, or None: it starts over.

    Of a generation's checkpoints only the last ones keep the optimizer's state. One whose manifest
    can't be read is returned, too: the core is to find it damaged, so that it is marked.
    """
    for checkpoint in session.scalars(undamaged_of(job_id)):
        try:
            keeps_state = manifest.read(folder(checkpoint)).resumable
        except manifest.Damaged:
            keeps_state = True
        if keeps_state:
            return checkpoint
    return None


def undamaged_of(job_id: str) -> Select[Checkpoint]:
    """Select the checkpoints that can be loaded, the newest step first."""
    return select(Checkpoint).where(*_listed(job_id)).order_by(Checkpoint.step.desc())


def _listed(job_id: str) -> list[Any]:
    return [
        Checkpoint.job_id == job_id,
        Checkpoint.damaged_at.is_(None),
        Checkpoint.deleted_at.is_(None),
    ]


def mark_damaged(session: Session, checkpoint_id: str) -> None:
    """Remember that this checkpoint's files don't match their manifest: never resume from it."""
    session.get_one(Checkpoint, checkpoint_id).damaged_at = func.clock_timestamp()


def list_of_job(
    session: Session, job_id: str, *, after: str | None, limit: int
) -> Iterator[Checkpoint]:
    """Yield the job's checkpoints, the newest step first, and one beyond the limit."""
    query = select(Checkpoint).where(*_listed(job_id))
    return paginate(session, query, Checkpoint.step, Checkpoint.id, after=after, limit=limit)


def resolve(session: Session, caller: Caller, model_id: str) -> tuple[Checkpoint, Job]:
    """Find the checkpoint that a tuned model's id means: a job's result, or one of its steps.

    Raises NotFound with `param` model when the caller has no such model.
    """
    mine = (Job.org_id == caller.org_id, Job.deleted_at.is_(None))
    job = session.scalar(select(Job).where(Job.fine_tuned_model == model_id, *mine))
    if job is not None and (last := latest(session, job.id)) is not None:
        return last, job
    found = session.execute(
        select(Checkpoint, Job)
        .join(Job, Job.id == Checkpoint.job_id)
        .where(Checkpoint.model == model_id, Checkpoint.deleted_at.is_(None), *mine)
    ).first()
    if found is None:
        raise unknown(model_id)
    return found[0], found[1]


def unknown(model_id: str) -> NotFound:
    return no_such("model", model_id, "model", "GET /v1/models")


def folder(checkpoint: Checkpoint) -> Path:
    """Return the folder on disk that the checkpoint lies in."""
    return get_settings().runs_dir / checkpoint.path


def lock(session: Session, checkpoint: Checkpoint, *, share: bool = False) -> bool:
    """Keep others from deleting a checkpoint until the transaction ends; False where one has.

    With `share`, others may do the same.
    """
    found = session.scalar(
        select(Checkpoint.id)
        .where(Checkpoint.id == checkpoint.id, Checkpoint.deleted_at.is_(None))
        .with_for_update(read=share)
    )
    return found is not None
