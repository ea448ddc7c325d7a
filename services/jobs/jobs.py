"""Fine-tuning jobs as a person sees them: create, list, cancel, pause, resume.

What workers do with a job (claim, heartbeat, finish) is in `claims.py`.
"""

import hashlib
import json
import logging
import re
import secrets
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from enum import StrEnum
from typing import Any, cast

from pydantic import ValidationError
from sqlalchemy import func, select
from sqlalchemy.orm import Session

from models import Job
from models.base import new_id
from models.files import FilePurpose
from models.jobs import DesiredState, JobState, Purpose
from orpo.contract.methods import METHODS, Method, Preference, parse_method
from orpo.contract.spec import VERSION
from orpo.contract.wording import in_words, is_worded
from services.access import audit_log
from services.access.audit_log import Action, Object
from services.access.callers import Caller
from services.jobs import attempts, checks, inputs, integrations, promotion, repeats, reward_models
from services.jobs.states import ENDED, WAITING
from services.jobs.workers import refuse_impossible
from services.platform import traces
from services.platform.errors import Conflict, Invalid, Problems, Several, no_such
from services.platform.pages import paginate
from services.platform.queue import Task, send
from services.webhooks import events

logger = logging.getLogger(__name__)

# Above all jobs of its key: an estimate takes a minute at most, and a user waits for it.
ESTIMATE_PRIORITY = 100
SUFFIX = re.compile(r"[A-Za-z0-9._-]{1,64}")

# What sentences call a job, the parameter of a path that has its id, and what lists it.
NOUNS = {
    Purpose.TRAIN: "job",
    Purpose.ESTIMATE: "estimate",
    Purpose.DEEP_AUDIT: "deep audit",
    Purpose.EVALUATION: "evaluation",
}
PARAMS = {
    Purpose.TRAIN: "fine_tuning_job_id",
    Purpose.ESTIMATE: "fine_tuning_job_id",
    Purpose.DEEP_AUDIT: "audit_id",
    Purpose.EVALUATION: "evaluation_id",
}
LISTED = {Purpose.TRAIN: "GET /v1/fine_tuning/jobs", Purpose.EVALUATION: "GET /v1/evaluations"}


class Archived(StrEnum):
    """Which jobs a list holds: those that are not archived, those that are, or both."""

    NO = "false"
    YES = "true"
    ALL = "all"


@dataclass(frozen=True)
class NewJob:
    """A request to create a job, as the API received it.

    `training_file` is empty in a request that is only checked, before its file is uploaded.
    """

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
    gates: list[dict[str, Any]] = field(default_factory=list)
    integrations: list[dict[str, Any]] = field(default_factory=list)

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
    check_gates: Callable[[], None] | None = None,
) -> Job:
    """Create a job, or return the one that an earlier attempt at this request created.

    `idempotency_key` is the header's; `is_retry` says that the client counts this as a repeat
    (`x-stainless-retry-count`). `check_gates` raises for a new request whose gates can't be used.
    Raises Invalid or NotFound with `param`, and Mismatch when the key was used with another body.
    """
    sha256 = request.sha256()
    job_id = new_id("ftjob")
    known = repeats.earlier(
        session, caller, sha256, job_id, idempotency_key=idempotency_key, is_retry=is_retry
    )
    if known is not None:
        return get(session, caller, known, purpose=request.purpose)
    method = check(session, caller, request, check_gates)
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
        gates=[{**gate, "evaluation": None} for gate in request.gates],
    )
    session.add(job)
    session.flush()
    if request.purpose is Purpose.TRAIN:
        integrations.add(session, job_id, request.integrations)
    send(session, Task.PREPARE)
    audit_log.record(session, caller, Action.CREATED, kind_of(request.purpose), job.id)
    # This line also has the id of the request; all later ones have only the job's.
    logger.info("created", extra={"job": job.id})
    traces.begin_job(job.id)
    return job


def check(
    session: Session,
    caller: Caller,
    request: NewJob,
    check_gates: Callable[[], None] | None = None,
) -> Method:
    """Return the method of a job that can be created. Raises Invalid, with all that is wrong.

    Without a training file, all else is checked.
    """
    problems = Problems()
    method = None
    with problems.gather():
        method = _method(request)
        refuse_impossible(session, method)
    with problems.gather():
        checks.check_base(session, caller, request.model)
        if method is not None:
            reward_models.check(session, caller, method, request.model)
    if request.training_file:
        with problems.gather():
            _check_file(session, caller, request.training_file, "training_file", method)
    if request.validation_file is not None:
        with problems.gather():
            _check_file(session, caller, request.validation_file, "validation_file", method)
    for labels in (_check_suffix, _check_seed_and_metadata):
        with problems.gather():
            labels(request)
    with problems.gather():
        integrations.check(request.integrations)
    if check_gates is not None:
        with problems.gather():
            check_gates()
    problems.raise_any()
    return cast("Method", method)  # without one, a problem was raised


def _method(request: NewJob) -> Method:
    if request.method not in METHODS:
        raise Invalid(
            f"There is no method '{request.method}': use one of {', '.join(METHODS)}.",
            param="method.type",
        )
    try:
        return parse_method(request.method, request.hyperparameters)
    except ValidationError as error:
        found = [_bad_hyperparameter(request.method, problem) for problem in error.errors()]
        raise (found[0] if len(found) == 1 else Several(found)) from None


def _bad_hyperparameter(method: str, problem: Mapping[str, Any]) -> Invalid:
    name = ".".join(str(part) for part in problem["loc"])
    if problem["type"] == "extra_forbidden":
        known = sorted(f.alias or n for n, f in METHODS[method].model_fields.items() if n != "type")
        message = f"There is no hyperparameter '{name}' of {method}; use one of {', '.join(known)}."
    elif name and is_worded(problem):
        message = f"{name} {in_words(problem)}."
    elif name:
        words = in_words(problem)
        message = f"{name} is not usable: {words[:1].lower()}{words[1:]}."
    else:
        message = f"{in_words(problem)}."
    path = f"method.{method}.hyperparameters"
    return Invalid(message, param=f"{path}.{name}" if name else path)


def _check_file(
    session: Session, caller: Caller, file_id: str, param: str, method: Method | None
) -> None:
    file = checks.usable_file(session, caller, file_id, param)
    if file.purpose != FilePurpose.PAIRS:
        raise Invalid(
            f"The file '{file_id}' has the purpose '{file.purpose}' and holds no pairs: name a "
            f"file with the purpose '{FilePurpose.PAIRS}'.",
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


def _check_suffix(request: NewJob) -> None:
    if request.suffix is not None and not SUFFIX.fullmatch(request.suffix):
        raise Invalid(
            "A suffix has 1 to 64 letters, digits, dots, dashes or underscores.", param="suffix"
        )


def _check_seed_and_metadata(request: NewJob) -> None:
    checks.check_seed(request.seed)
    checks.check_metadata(request.metadata)


def owner_of(job: Job) -> Caller:
    """Return the caller on whose behalf a worker acts for a job: its organisation and key, without
    scopes.
    """
    return Caller(job.org_id, job.api_key_id, frozenset())


def kind_of(purpose: Purpose) -> Object:
    return {
        Purpose.TRAIN: Object.JOB,
        Purpose.ESTIMATE: Object.ESTIMATE,
        Purpose.DEEP_AUDIT: Object.DEEP_AUDIT,
        Purpose.EVALUATION: Object.EVALUATION,
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
        raise no_such(NOUNS[purpose], job_id, PARAMS[purpose], LISTED.get(purpose))
    return job


def list_jobs(
    session: Session,
    caller: Caller,
    *,
    after: str | None,
    limit: int,
    metadata: dict[str, str] | None = None,
    file: str | None = None,
    tags: Sequence[str] = (),
    archived: Archived = Archived.NO,
) -> Iterator[Job]:
    """Yield the caller's jobs that carry `metadata`, name the file and have all `tags`, newest
    first, and one beyond the limit.
    """
    query = select(Job).where(
        Job.org_id == caller.org_id, Job.purpose == Purpose.TRAIN, Job.deleted_at.is_(None)
    )
    if metadata:
        query = query.where(Job.metadata_.contains(metadata))
    if file is not None:
        query = query.where(inputs.names(file))
    if tags:
        query = query.where(Job.tags.contains([tag.lower() for tag in tags]))
    if archived is not Archived.ALL:
        query = query.where(Job.archived.is_(archived is Archived.YES))
    return paginate(session, query, Job.created_at, Job.id, after=after, limit=limit)


def cancel(session: Session, caller: Caller, job_id: str, purpose: Purpose = Purpose.TRAIN) -> Job:
    """Request the job's end. A job that no worker holds ends now, others at the next heartbeat."""
    job = _changeable(session, caller, job_id, "cancelled", purpose)
    job.desired_state = DesiredState.CANCEL
    if job.state in WAITING:
        attempts.forget(job)
        job.state = JobState.CANCELLED
        job.finished_at = func.clock_timestamp()
        promotion.settle(session, job)
        events.announce(session, job)
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
            f"The {NOUNS[purpose]} '{job_id}' has ended ({job.state}) and can't be {verb}: create "
            "a new one.",
            param=PARAMS[purpose],
        )
    if job.state == JobState.FINALIZING:
        raise Conflict(
            f"The result of the {NOUNS[purpose]} '{job_id}' is being stored: it can't be {verb} "
            "any more.",
            param=PARAMS[purpose],
        )
    return job
