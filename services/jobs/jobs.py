"""Fine-tuning jobs as a person sees them: create, list, cancel, pause, resume.

What workers do with a job (claim, heartbeat, finish) is in `claims.py`.
"""

import hashlib
import json
import logging
import re
import secrets
from collections.abc import Iterator
from dataclasses import dataclass, field
from datetime import timedelta
from typing import Any, cast

from pydantic import ValidationError
from sqlalchemy import Table, bindparam, func, select
from sqlalchemy.dialects.postgresql import insert
from sqlalchemy.orm import Session

from models import BaseModelRecord, File, IdempotencyKey, Job
from models.base import new_id
from models.base_models import BaseModelStatus
from models.files import FileStatus
from models.jobs import DesiredState, JobState, Purpose
from orpo.contract.methods import METHODS, Method, Preference, parse_method
from orpo.contract.spec import VERSION
from services.access import audit_log
from services.access.audit_log import Action, Object
from services.access.callers import Caller
from services.jobs import attempts, reward_models
from services.jobs.workers import refuse_impossible
from services.platform import traces
from services.platform.errors import Conflict, Invalid, Mismatch, no_such
from services.platform.pages import paginate
from services.platform.queue import Task, send

logger = logging.getLogger(__name__)

S = JobState
TRANSITIONS: dict[JobState, frozenset[JobState]] = {
    S.VALIDATING_FILES: frozenset({S.QUEUED, S.FAILED, S.CANCELLED}),
    S.QUEUED: frozenset({S.CLAIMED, S.PAUSED, S.CANCELLED, S.FAILED}),
    S.CLAIMED: frozenset({S.RUNNING, S.QUEUED, S.FAILED, S.PAUSED, S.CANCELLED}),
    S.RUNNING: frozenset({S.FINALIZING, S.QUEUED, S.FAILED, S.PAUSED, S.CANCELLED}),
    S.PAUSED: frozenset({S.QUEUED, S.CANCELLED}),
    S.FINALIZING: frozenset({S.SUCCEEDED, S.QUEUED, S.FAILED}),
    S.SUCCEEDED: frozenset(),
    S.FAILED: frozenset(),
    S.CANCELLED: frozenset(),
}
ENDED = frozenset(state for state, following in TRANSITIONS.items() if not following)
WAITING = frozenset({S.VALIDATING_FILES, S.QUEUED, S.PAUSED})

# The client retries a create within seconds if it got no answer. An identical request an hour later
# is intentional.
RETRY_WINDOW = timedelta(minutes=10)
# Above all jobs of its key: an estimate takes a minute at most, and a user waits for it.
ESTIMATE_PRIORITY = 100
# Statements on tables: classes would cost the session's bookkeeping for rows that are not kept. The
# share locks block a parallel delete between the check and the insert.
KEYS, BASES, FILES = (
    cast("Table", record.__table__) for record in (IdempotencyKey, BaseModelRecord, File)
)
REMEMBER = insert(KEYS).on_conflict_do_nothing().returning(KEYS.c.key)
BASE = (
    select(BASES.c.org_id, BASES.c.deleted_at, BASES.c.status, BASES.c.error)
    .where(BASES.c.id == bindparam("id"))
    .with_for_update(read=True)
)
FILE = (
    select(
        FILES.c.org_id,
        FILES.c.deleted_at,
        FILES.c.status,
        FILES.c.status_details,
        FILES.c.report["accepted"].label("accepted"),
        FILES.c.report["shapes"].label("shapes"),
    )
    .where(FILES.c.id == bindparam("id"))
    .with_for_update(read=True)
)
SUFFIX = re.compile(r"[A-Za-z0-9._-]{1,64}")


@dataclass(frozen=True)
class NewJob:
    """A request to create a job, as the API received it."""

    model: str
    training_file: str
    validation_file: str | None = None
    method: str = "orpo"
    hyperparameters: dict[str, Any] = field(default_factory=dict)
    suffix: str | None = None
    seed: int | None = None
    metadata: dict[str, str] = field(default_factory=dict)
    priority: int = 0
    purpose: Purpose = Purpose.TRAIN

    def sha256(self) -> str:
        body = json.dumps(vars(self), sort_keys=True, default=str)
        return hashlib.sha256(body.encode()).hexdigest()


def create(
    session: Session,
    caller: Caller,
    request: NewJob,
    *,
    idempotency_key: str | None = None,
    is_retry: bool = False,
) -> Job:
    """Create a job, or return the one that an earlier attempt at this request created.

    `idempotency_key` is the header's; `is_retry` says that the client counts this as a repeat
    (`x-stainless-retry-count`). Raises Invalid or NotFound with `param`, and Mismatch when the
    key was used with another body.
    """
    sha256 = request.sha256()
    job_id = new_id("ftjob")
    if idempotency_key is not None:
        earlier = _remember(session, caller, idempotency_key, sha256, job_id)
        if earlier is not None:
            return get(session, caller, earlier, purpose=request.purpose)
    elif is_retry and (twin := _recent_twin(session, caller, sha256)) is not None:
        return twin
    method = _method(request)
    refuse_impossible(session, method)
    _check_base(session, caller, request.model)
    reward_models.check(session, caller, method, request.model)
    _check_file(session, caller, request.training_file, "training_file", method)
    if request.validation_file is not None:
        _check_file(session, caller, request.validation_file, "validation_file", method)
    _check_labels(request)
    job = Job(
        id=job_id,
        org_id=caller.org_id,
        api_key_id=caller.api_key_id,
        base_model=request.model,
        training_file=request.training_file,
        validation_file=request.validation_file,
        method=method.model_dump(mode="json"),
        suffix=request.suffix,
        seed=secrets.randbelow(2**31) if request.seed is None else request.seed,
        metadata_=request.metadata,
        request_sha256=sha256,
        spec_version=VERSION,
        purpose=request.purpose,
        priority=ESTIMATE_PRIORITY if request.purpose is Purpose.ESTIMATE else request.priority,
    )
    session.add(job)
    session.flush()
    send(session, Task.PREPARE)
    audit_log.record(session, caller, Action.CREATED, kind_of(request.purpose), job.id)
    # This line also has the id of the request; all later ones have only the job's.
    logger.info("created", extra={"job": job.id})
    traces.begin_job(job.id)
    return job


def _remember(session: Session, caller: Caller, key: str, sha256: str, job_id: str) -> str | None:
    """Store the key, or return the job it stands for. A parallel create waits on the insert."""
    stored = session.scalar(
        REMEMBER,
        {
            "api_key_id": caller.account,
            "key": key,
            "request_sha256": sha256,
            "resource_id": job_id,
        },
    )
    if stored is not None:
        return None
    known = session.get_one(IdempotencyKey, (caller.account, key))
    if known.request_sha256 != sha256:
        raise Mismatch(
            "This Idempotency-Key was used with another body: send a new key for a new job.",
            param="Idempotency-Key",
        )
    return known.resource_id


def _recent_twin(session: Session, caller: Caller, sha256: str) -> Job | None:
    return session.scalar(
        select(Job)
        .where(
            Job.org_id == caller.org_id,
            Job.api_key_id == caller.api_key_id,
            Job.request_sha256 == sha256,
            Job.deleted_at.is_(None),
            Job.created_at > func.clock_timestamp() - RETRY_WINDOW,
        )
        .order_by(Job.created_at.desc())
        .limit(1)
    )


def _method(request: NewJob) -> Method:
    if request.method not in METHODS:
        raise Invalid(
            f"There is no method '{request.method}': use one of {', '.join(METHODS)}.",
            param="method.type",
        )
    try:
        return parse_method(request.method, request.hyperparameters)
    except ValidationError as error:
        raise _bad_hyperparameter(request.method, error) from None


def _bad_hyperparameter(method: str, error: ValidationError) -> Invalid:
    first = error.errors()[0]
    name = ".".join(str(part) for part in first["loc"])
    if first["type"] == "extra_forbidden":
        known = sorted(f.alias or n for n, f in METHODS[method].model_fields.items() if n != "type")
        message = f"There is no hyperparameter '{name}' of {method}; use one of {', '.join(known)}."
    elif name:
        problem = first["msg"].removeprefix("Value error, ")
        message = f"{name} is not usable: {problem[:1].lower()}{problem[1:]}."
    else:
        message = first["msg"].removeprefix("Value error, ")
    path = f"method.{method}.hyperparameters"
    return Invalid(message, param=f"{path}.{name}" if name else path)


def _check_base(session: Session, caller: Caller, model: str) -> None:
    base = session.execute(BASE, {"id": model}).one_or_none()
    if base is None or base.org_id != caller.org_id or base.deleted_at is not None:
        raise Invalid(
            f"No base model '{model}' is registered: add it with POST /v1/models, or list those "
            "there are with GET /v1/models.",
            param="model",
            code="model_not_found",
        )
    if base.status != BaseModelStatus.READY:
        raise Invalid(
            f"The base model '{model}' is not ready ({base.status}): "
            f"{base.error or 'wait until its download has ended'}.",
            param="model",
        )


def _check_file(session: Session, caller: Caller, file_id: str, param: str, method: Method) -> None:
    file = session.execute(FILE, {"id": file_id}).one_or_none()
    if file is None or file.org_id != caller.org_id or file.deleted_at is not None:
        raise Invalid(
            f"There is no file '{file_id}': upload one with POST /v1/files.",
            param=param,
            code="file_not_found",
        )
    if file.status == FileStatus.UPLOADED:
        raise Invalid(
            f"The file '{file_id}' is still being checked: wait until its status is 'processed'.",
            param=param,
            code="file_not_ready",
        )
    if file.status == FileStatus.ERROR or not file.accepted:
        raise Invalid(
            f"The file '{file_id}' has no usable row: {file.status_details or 'see its report'} "
            f"GET /v1/files/{file_id}/report lists what was found.",
            param=param,
            code="file_unusable",
        )
    if isinstance(method, Preference) and set(file.shapes or {}) == {"messages"}:
        raise Invalid(
            f"The file '{file_id}' holds conversations without a rejected answer: use the method "
            "'supervised', or a file of preference pairs.",
            param=param,
            code="file_unusable",
        )


def _check_labels(request: NewJob) -> None:
    if request.suffix is not None and not SUFFIX.fullmatch(request.suffix):
        raise Invalid(
            "A suffix has 1 to 64 letters, digits, dots, dashes or underscores.", param="suffix"
        )
    if request.seed is not None and not 0 <= request.seed < 2**31:
        raise Invalid("A seed lies between 0 and 2147483647.", param="seed")
    if len(request.metadata) > 16:
        raise Invalid("metadata may hold at most 16 pairs.", param="metadata")
    for key, value in request.metadata.items():
        if len(key) > 64 or len(value) > 512:
            raise Invalid(
                "A key of metadata has at most 64 characters, a value at most 512.",
                param=f"metadata.{key[:64]}",
            )


def kind_of(purpose: Purpose) -> Object:
    return {
        Purpose.TRAIN: Object.JOB,
        Purpose.ESTIMATE: Object.ESTIMATE,
        Purpose.DEEP_AUDIT: Object.DEEP_AUDIT,
    }[purpose]


def get(
    session: Session,
    caller: Caller,
    job_id: str,
    *,
    lock: bool = False,
    purpose: Purpose = Purpose.TRAIN,
) -> Job:
    """Return the caller's job; with `lock`, hold its row until the transaction ends."""
    job = session.get(Job, job_id, with_for_update=lock)
    theirs = job is None or job.org_id != caller.org_id or job.purpose != purpose
    if job is None or theirs or job.deleted_at is not None:
        if purpose is Purpose.ESTIMATE:
            raise no_such("estimate", job_id, "fine_tuning_job_id")
        if purpose is Purpose.DEEP_AUDIT:
            raise no_such("deep audit", job_id, "audit_id")
        raise no_such("job", job_id, "fine_tuning_job_id", "/v1/fine_tuning/jobs")
    return job


def list_jobs(
    session: Session,
    caller: Caller,
    *,
    after: str | None,
    limit: int,
    metadata: dict[str, str] | None = None,
) -> Iterator[Job]:
    """Yield the caller's jobs that carry `metadata`, newest first, and one beyond the limit."""
    query = select(Job).where(
        Job.org_id == caller.org_id, Job.purpose == Purpose.TRAIN, Job.deleted_at.is_(None)
    )
    if metadata:
        query = query.where(Job.metadata_.contains(metadata))
    return paginate(session, query, Job.created_at, Job.id, after=after, limit=limit)


def cancel(session: Session, caller: Caller, job_id: str, purpose: Purpose = Purpose.TRAIN) -> Job:
    """Request the job's end. A job that no worker holds ends now, others at the next heartbeat."""
    job = _changeable(session, caller, job_id, "cancelled", purpose)
    job.desired_state = DesiredState.CANCEL
    if job.state in WAITING:
        attempts.forget(job)
        job.state = JobState.CANCELLED
        job.finished_at = func.clock_timestamp()
    audit_log.record(session, caller, Action.CANCELLED, kind_of(purpose), job_id)
    session.flush()
    return job


def pause(session: Session, caller: Caller, job_id: str) -> Job:
    """Request a pause: a running job saves a checkpoint first; a queued one pauses now."""
    job = _changeable(session, caller, job_id, "paused")
    if job.desired_state == DesiredState.CANCEL:
        raise Conflict(f"The job '{job_id}' is being cancelled and can't be paused.")
    job.desired_state = DesiredState.PAUSE
    if job.state == JobState.QUEUED:
        job.state = JobState.PAUSED
    audit_log.record(session, caller, Action.PAUSED, Object.JOB, job_id)
    session.flush()
    return job


def resume(session: Session, caller: Caller, job_id: str) -> Job:
    """Let a paused job go on from its last checkpoint, or withdraw a pause that is pending."""
    job = _changeable(session, caller, job_id, "resumed")
    if job.desired_state == DesiredState.CANCEL:
        raise Conflict(f"The job '{job_id}' is being cancelled and can't be resumed.")
    job.desired_state = DesiredState.RUN
    if job.state == JobState.PAUSED:
        job.state = JobState.QUEUED
        # A resumed job does not wait for the delay after a lost attempt.
        job.available_at = None
        send(session, Task.TRAIN)
    audit_log.record(session, caller, Action.RESUMED, Object.JOB, job_id)
    session.flush()
    return job


def _changeable(
    session: Session, caller: Caller, job_id: str, verb: str, purpose: Purpose = Purpose.TRAIN
) -> Job:
    job = get(session, caller, job_id, lock=True, purpose=purpose)
    if job.state in ENDED:
        raise Conflict(
            f"The job '{job_id}' has ended ({job.state}) and can't be {verb}: create a new one."
        )
    if job.state == JobState.FINALIZING:
        raise Conflict(
            f"The job '{job_id}' has ended its training and is being registered; it can't be "
            f"{verb} any more."
        )
    return job
