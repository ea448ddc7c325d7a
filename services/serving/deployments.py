"""Deployments as users see them: request that a model is served, look it up, chat, stop it.

The row holds the desired state; `engines.py` and the serve worker carry it out. Knows no process.
"""

from collections.abc import Iterator, Sequence
from contextlib import suppress
from dataclasses import dataclass

from sqlalchemy import func, or_, select, text
from sqlalchemy.dialects.postgresql import insert
from sqlalchemy.orm import Session

from models import BaseModelRecord, Checkpoint, Deployment, Engine, Job
from models.base import new_id
from models.base_models import BaseModelStatus
from models.checkpoints import WeightsKind
from models.deployments import DeploymentStatus
from orpo.contract.methods import is_judge
from orpo.contract.special import SpecialTokens
from services.access import audit_log
from services.access.audit_log import Action, Object
from services.access.callers import Caller
from services.jobs.states import ENDED
from services.platform.errors import Conflict, Invalid, NotFound, no_such
from services.platform.pages import Order, paginate
from services.platform.queue import Task, send
from services.runs import checkpoints
from services.serving.chat_templates import Renders
from services.serving.engines import (
    LIVE,
    Address,
    adapter_name,
    address,
    gives_way,
    name_in,
    special_rule,
    special_strings,
)

UNSETTLED = (DeploymentStatus.PENDING, DeploymentStatus.STARTING)
# An engine that wasn't checked for this long must be checked: it may have died.
LOOK_AFTER = text("interval '3 seconds'")


@dataclass(frozen=True)
class Served:
    """A model and what it is made of: a base, and for a tuned one the checkpoint."""

    base_model: str
    checkpoint_id: str | None = None


@dataclass(frozen=True)
class Shown:
    """A deployment and where it runs: the engine's device, and the adapter's name in it."""

    deployment: Deployment
    device: str | None
    adapter: str | None


@dataclass(frozen=True)
class Route:
    """Where a ready model answers: its engine's address, and the name it has there."""

    model: str
    deployment_id: str
    upstream: Address
    upstream_model: str
    # How special strings in messages are treated, and the special strings of the base.
    rule: SpecialTokens = SpecialTokens.REFUSE
    special_strings: tuple[str, ...] = ()
    # What its chat template renders; None where an older release certified it.
    renders: Renders | None = None


def create(
    session: Session, caller: Caller, model: str, *, yields: bool | None = None
) -> Deployment:
    """Request that `model` is served. If it is deployed already, return that deployment.

    With `yields` it frees its device for jobs and returns to it afterwards; None changes nothing. A
    failed deployment is tried again as a new one. Raises NotFound for an unknown model, Invalid for
    a reward model, and Conflict for one that is not finished, all with `param` model.
    """
    served = find(session, caller, model)
    live = _live(session, caller, model)
    if live is not None and live.status == DeploymentStatus.FAILED:
        live.desired = "stop"
        session.flush()
    made = session.execute(
        insert(Deployment)
        .values(
            id=new_id("deploy"),
            org_id=caller.org_id,
            api_key_id=caller.api_key_id,
            model=model,
            base_model=served.base_model,
            checkpoint_id=served.checkpoint_id,
            desired="run",
            status=DeploymentStatus.PENDING,
            yields=bool(yields),
        )
        .on_conflict_do_nothing()
        .returning(Deployment.id)
    ).scalar()
    if made is not None:
        audit_log.record(session, caller, Action.DEPLOYED, Object.DEPLOYMENT, made, model=model)
    send(session, Task.RECONCILE)
    deployment = _live(session, caller, model)
    if deployment is None:
        raise Conflict(
            f"The deployment of '{model}' was stopped meanwhile. Deploy it again.", param="model"
        )
    if yields is not None:
        deployment.yields = yields
        session.flush()
    return deployment


def _live(session: Session, caller: Caller, model: str) -> Deployment | None:
    return session.scalar(
        select(Deployment).where(
            Deployment.org_id == caller.org_id,
            Deployment.model == model,
            Deployment.desired == "run",
        )
    )


def find(session: Session, caller: Caller, model: str) -> Served:
    """Return what `model` is made of, locked against deletion until the transaction ends.

    Raises NotFound for an unknown model and Conflict for one that can't be served, both with
    `param` model.
    """
    base = session.get(BaseModelRecord, model)
    if base is not None and base.org_id == caller.org_id and base.deleted_at is None:
        if base.status != BaseModelStatus.READY:
            raise Conflict(
                f"The base model '{model}' is {base.status}: deploy it once GET /v1/models/{model} "
                "says that it is ready.",
                param="model",
            )
        return Served(base.id)
    try:
        checkpoint, job = checkpoints.resolve(session, caller, model)
    except NotFound:
        _refuse_job(session, caller, model)
        raise
    _refuse_judge(job, model, "model")
    if job.state not in ENDED:
        raise _unfinished(job)
    if checkpoint.damaged_at is not None:
        raise Conflict(f"The files of '{model}' are damaged: deploy another step.", param="model")
    if not checkpoints.lock(session, checkpoint, share=True):
        return find(session, caller, model)  # deleted meanwhile: the id may mean nothing now
    return Served(job.base_model, checkpoint.id)


def _refuse_judge(job: Job, model: str, param: str) -> None:
    if is_judge(job.method["type"]):
        raise Invalid(
            f"'{model}' is a reward model: it judges answers with a number and can't chat. Use it "
            "as the judge of an evaluation, or download it.",
            param=param,
            code="model_is_a_judge",
        )


def _refuse_job(session: Session, caller: Caller, model: str) -> None:
    """Say what to do where `model` is a job's id, or the name that its result will have."""
    last = model.rpartition(":")[2].removeprefix("ftjob-")
    if not last:
        return
    job = session.scalar(
        select(Job)
        .where(Job.org_id == caller.org_id, Job.deleted_at.is_(None))
        .where(Job.id.startswith(f"ftjob-{last}", autoescape=True))
        .limit(1)
    )
    if job is None or (model != job.id and model != checkpoints.model_name(session, job)):
        return
    if job.state not in ENDED:
        raise _unfinished(job)
    hint = (
        f"deploy its model, '{job.fine_tuned_model}'"
        if job.fine_tuned_model
        else f"it ended as {job.state}; GET /v1/fine_tuning/jobs/{job.id}/checkpoints lists what "
        "can be deployed of it"
    )
    raise NotFound(f"'{model}' is a job, not a model: {hint}.", param="model")


def _unfinished(job: Job) -> Conflict:
    return Conflict(
        f"The job {job.id} is not finished ({job.state}): deploy its model once the job has "
        "succeeded.",
        param="model",
        code="model_not_finished",
    )


def get(session: Session, caller: Caller, deployment_id: str, *, lock: bool = False) -> Deployment:
    """Return the caller's deployment; with `lock`, hold its row. Raises NotFound."""
    deployment = session.get(Deployment, deployment_id, with_for_update=lock)
    if deployment is None or deployment.org_id != caller.org_id:
        raise no_such("deployment", deployment_id, "deployment_id", "GET /v1/deployments")
    return deployment


def list_page(
    session: Session,
    caller: Caller,
    *,
    after: str | None = None,
    limit: int = 20,
    order: Order = Order.DESC,
) -> Iterator[Deployment]:
    """Yield deployments that should be served, failed ones included, and one beyond the limit.
    Stopped ones are left out.
    """
    query = select(Deployment).where(
        Deployment.org_id == caller.org_id, Deployment.desired == "run"
    )
    keys = (Deployment.created_at, Deployment.id)
    return paginate(session, query, *keys, after=after, limit=limit, order=order)


def show(session: Session, found: Sequence[Deployment]) -> list[Shown]:
    """Return the same deployments in the same order, each with where it runs."""
    rows = session.execute(
        select(Deployment.id, Engine.device, Checkpoint.kind)
        .outerjoin(Engine, Engine.id == Deployment.engine_id)
        .outerjoin(Checkpoint, Checkpoint.id == Deployment.checkpoint_id)
        .where(Deployment.id.in_([deployment.id for deployment in found]))
    )
    facts = {deployment_id: (device, kind) for deployment_id, device, kind in rows}
    return [_shown(deployment, *facts[deployment.id]) for deployment in found]


def _shown(deployment: Deployment, device: str | None, kind: str | None) -> Shown:
    is_adapter = kind == WeightsKind.ADAPTER
    return Shown(deployment, device, adapter_name(deployment) if is_adapter else None)


def stop(session: Session, caller: Caller, deployment_id: str) -> Deployment:
    """Stop a deployment: chat with it ends now, and the engine later."""
    # The worker must not give it an engine between this look and the write.
    deployment = get(session, caller, deployment_id, lock=True)
    deployment.desired = "stop"
    deployment.updated_at = func.clock_timestamp()
    if deployment.status == DeploymentStatus.FAILED or deployment.engine_id is None:
        deployment.status = DeploymentStatus.STOPPED
    send(session, Task.RECONCILE)
    audit_log.record(
        session, caller, Action.UNDEPLOYED, Object.DEPLOYMENT, deployment_id, model=deployment.model
    )
    session.flush()
    session.refresh(deployment)
    return deployment


def route(session: Session, caller: Caller, model: str, param: str = "model") -> Route:
    """Return where `model` answers. Raises NotFound, with what to do, unless it is ready, and
    Invalid for a reward model.
    """
    found = session.execute(
        select(Deployment, Engine, Checkpoint.kind, BaseModelRecord.info, Job.method)
        .join(BaseModelRecord, BaseModelRecord.id == Deployment.base_model)
        .outerjoin(Engine, Engine.id == Deployment.engine_id)
        .outerjoin(Checkpoint, Checkpoint.id == Deployment.checkpoint_id)
        .outerjoin(Job, Job.id == Checkpoint.job_id)
        .where(
            Deployment.org_id == caller.org_id,
            Deployment.model == model,
            Deployment.desired == "run",
        )
    ).first()
    if found is None:
        with suppress(NotFound):
            _refuse_judge(checkpoints.resolve(session, caller, model)[1], model, param)
        raise NotFound(
            f"'{model}' is not deployed: deploy it first with POST /v1/deployments.",
            param=param,
            code="model_not_deployed",
        )
    deployment, engine, kind, info, method = found
    if deployment.status != DeploymentStatus.READY or engine is None:
        raise _not_ready(deployment, param)
    return Route(
        model=model,
        deployment_id=deployment.id,
        upstream=address(engine),
        upstream_model=name_in(engine, deployment, is_adapter=kind == WeightsKind.ADAPTER),
        rule=special_rule(method),
        # A base that was registered without them: its serve worker adds them within seconds.
        special_strings=special_strings(info) or (),
        renders=Renders.of(deployment.parity),
    )


def status_of(session: Session, caller: Caller, model: str) -> DeploymentStatus | None:
    """Return the status of the deployment that should serve `model`; None if there is none."""
    live = _live(session, caller, model)
    return None if live is None else DeploymentStatus(live.status)


def _not_ready(deployment: Deployment, param: str) -> NotFound:
    if deployment.status == DeploymentStatus.FAILED:
        why = (deployment.error or {}).get("message", "no reason was recorded.")
        advice = f"could not be deployed: {why} Try again with POST /v1/deployments"
    elif deployment.yields:
        advice = "has made room for a training job, and comes back once that has ended"
    else:
        advice = f"is {deployment.status}: wait until GET /v1/deployments says that it is ready"
    return NotFound(f"'{deployment.model}' {advice}.", param=param, code="model_not_ready")


def needs_reconcile(session: Session) -> bool:
    """Whether the served state differs from the desired one, or was not compared for a while."""
    desired_differs = select(Deployment.id).where(
        or_(
            (Deployment.desired == "run") & Deployment.status.in_(UNSETTLED) & ~gives_way(),
            (Deployment.desired == "run")
            & Deployment.status.in_((DeploymentStatus.STARTING, DeploymentStatus.READY))
            & gives_way(),
            (Deployment.desired == "stop")
            & Deployment.status.in_((*UNSETTLED, DeploymentStatus.READY)),
        )
    )
    seen_before = func.clock_timestamp() - LOOK_AFTER
    unseen = select(Engine.id).where(
        Engine.status.in_(LIVE), func.coalesce(Engine.seen_at, Engine.created_at) < seen_before
    )
    return bool(session.scalar(select(desired_differs.exists() | unseen.exists())))
