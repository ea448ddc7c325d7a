"""Every model by its name: registered bases, and what jobs tuned from them. Only reads."""

from collections.abc import Iterator
from dataclasses import dataclass, field
from datetime import datetime
from enum import StrEnum
from typing import Any

from sqlalchemy import select
from sqlalchemy.orm import Session, defer, load_only

from models import BaseModelRecord, Checkpoint, Deployment, Job
from models.base_models import BaseModelStatus
from models.deployments import DeploymentStatus
from models.jobs import JobState
from orpo.contract.methods import is_judge
from services.access import audit_log
from services.access.audit_log import Action, Object
from services.access.callers import Caller
from services.platform.pages import following
from services.runs import checkpoints

# What is shown of the job that made a model.
TUNED = (
    *(Job.fine_tuned_model, Job.created_at, Job.finished_at, Job.org_id, Job.base_model),
    *(Job.method, Job.promotion),
)


class Use(StrEnum):
    """What a model is for: a judge is a reward model, which gives answers a number."""

    CHAT = "chat"
    JUDGE = "judge"


class Kind(StrEnum):
    BASE = "base"
    TUNED = "tuned"
    CHECKPOINT = "checkpoint"


@dataclass(frozen=True)
class Model:
    id: str
    kind: Kind
    created_at: datetime
    owned_by: str
    parent: str | None
    deployed: bool
    use: Use = Use.CHAT
    status: str = BaseModelStatus.READY
    error: str | None = None
    job_id: str | None = None
    revision: str | None = None
    # Whether it has passed the gates of its job; None without gates, and before they are decided.
    promoted: bool | None = None
    info: dict[str, Any] = field(default_factory=dict)


def list_page(
    session: Session, caller: Caller, *, after: str | None = None, limit: int
) -> Iterator[Model]:
    """Yield the caller's bases and the results of its succeeded jobs, the newest first, and one
    beyond the limit. `after` is a model's id.
    """
    served = _served(session, caller)
    bases = session.scalars(
        select(BaseModelRecord)
        .where(BaseModelRecord.org_id == caller.org_id, BaseModelRecord.deleted_at.is_(None))
        .options(defer(BaseModelRecord.info))
    )
    jobs = session.scalars(
        select(Job)
        .where(
            Job.org_id == caller.org_id,
            Job.state == JobState.SUCCEEDED,
            Job.fine_tuned_model.is_not(None),
            Job.deleted_at.is_(None),
        )
        .options(load_only(*TUNED))
    )
    found = [_Listed(base.created_at, base.id, base) for base in bases]
    found += [_Listed(_finished_at(job), job.fine_tuned_model or "", job) for job in jobs]
    found.sort(key=lambda each: (each.at, each.id), reverse=True)
    for each in following(found, after, limit):
        record = each.record
        is_base = isinstance(record, BaseModelRecord)
        yield _base(record, served) if is_base else _tuned(record, served)


@dataclass(frozen=True)
class _Listed:
    at: datetime
    id: str
    record: BaseModelRecord | Job


def _finished_at(job: Job) -> datetime:
    return job.finished_at or job.created_at


def get(session: Session, caller: Caller, model_id: str) -> Model:
    """Return one model; besides what `list_page` has, the checkpoints of jobs."""
    served = _served(session, caller)
    record = session.get(BaseModelRecord, model_id)
    if record is not None and record.org_id == caller.org_id and record.deleted_at is None:
        return _base(record, served)
    checkpoint, job = checkpoints.resolve(session, caller, model_id)
    if job.fine_tuned_model == model_id:
        return _tuned(job, served)
    return _checkpoint(checkpoint, job, served)


def export(
    session: Session, caller: Caller, model_id: str, **details: Any
) -> tuple[Checkpoint, Job]:
    """Return the checkpoint of a tuned model whose weights are about to be handed out."""
    found = checkpoints.resolve(session, caller, model_id)
    audit_log.record(session, caller, Action.EXPORTED, Object.MODEL, model_id, **details)
    return found


def _served(session: Session, caller: Caller) -> set[str]:
    query = select(Deployment.model).where(
        Deployment.org_id == caller.org_id,
        Deployment.status == DeploymentStatus.READY,
        Deployment.desired == "run",
    )
    return set(session.scalars(query))


def _base(record: BaseModelRecord, served: set[str]) -> Model:
    return Model(
        id=record.id,
        kind=Kind.BASE,
        created_at=record.created_at,
        owned_by=record.org_id,
        parent=(record.info.get("merged_from") or record.info.get("folded") or {}).get("model"),
        deployed=record.id in served,
        status=record.status,
        error=record.error,
        revision=record.revision,
        info=record.info,
    )


def _tuned(job: Job, served: set[str]) -> Model:
    name = job.fine_tuned_model or ""
    return Model(
        id=name,
        kind=Kind.TUNED,
        created_at=_finished_at(job),
        owned_by=job.org_id,
        parent=job.base_model,
        deployed=name in served,
        use=_use(job),
        job_id=job.id,
        promoted=(job.promotion or {}).get("promoted"),
    )


def _checkpoint(checkpoint: Checkpoint, job: Job, served: set[str]) -> Model:
    return Model(
        id=checkpoint.model,
        kind=Kind.CHECKPOINT,
        created_at=checkpoint.created_at,
        owned_by=job.org_id,
        parent=job.base_model,
        deployed=checkpoint.model in served,
        use=_use(job),
        job_id=job.id,
    )


def _use(job: Job) -> Use:
    return Use.JUDGE if is_judge(job.method["type"]) else Use.CHAT
