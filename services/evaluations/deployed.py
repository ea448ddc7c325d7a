"""What an evaluation deploys for itself, and that it is stopped once no evaluation needs it."""

from collections.abc import Iterable

from sqlalchemy import or_, select, text
from sqlalchemy.orm import Session

from models import Evaluation, Job, Judge
from models.deployments import DeploymentStatus
from services.access.callers import Caller
from services.jobs.jobs import owner_of
from services.jobs.states import ENDED
from services.platform.errors import NotFound
from services.serving import deployments


def deploy_missing(
    session: Session, caller: Caller, evaluation: Evaluation, models: Iterable[str]
) -> list[str]:
    """Deploy those models that are not, note that on the evaluation, and return their names.

    Raises NotFound or Conflict for a model that can't be served.
    """
    made = []
    for model in models:
        status = deployments.status_of(session, caller, model)
        if status not in (None, DeploymentStatus.FAILED):
            continue
        found = deployments.create(session, caller, model)
        evaluation.deployed = [*evaluation.deployed, found.id]
        made.append(model)
    return made


def take_back(session: Session) -> list[str]:
    """Stop what evaluations have deployed that have ended, and return the deployments' ids.

    A model that an evaluation still needs stays until that one has ended, too.
    """
    rows = session.execute(
        select(Evaluation, Job)
        .join(Job, Job.id == Evaluation.id)
        .where(Evaluation.deployed != text("'[]'"), Job.state.in_(ENDED))
        .with_for_update(of=Evaluation, skip_locked=True)
    ).all()
    stopped = []
    for evaluation, job in rows:
        caller = owner_of(job)
        kept = []
        for deployment_id in evaluation.deployed:
            if _stop(session, caller, deployment_id):
                stopped.append(deployment_id)
            else:
                kept.append(deployment_id)
        evaluation.deployed = kept
    return stopped


def _stop(session: Session, caller: Caller, deployment_id: str) -> bool:
    """Stop a deployment unless an evaluation needs it; True if it is no longer to be stopped."""
    try:
        found = deployments.get(session, caller, deployment_id)
    except NotFound:
        return True
    if found.desired != "run":
        return True
    if _is_needed(session, caller.org_id, found.model):
        return False
    deployments.stop(session, caller, deployment_id)
    return True


def _is_needed(session: Session, org_id: str, model: str) -> bool:
    """Whether an evaluation that has not ended asks this model."""
    named = or_(
        Evaluation.target["model"].as_string() == model,
        (Evaluation.baseline["model"].as_string() == model)
        & Evaluation.baseline["base_url"].as_string().is_(None),
        (Judge.model == model) & Judge.base_url.is_(None),
    )
    query = (
        select(Evaluation.id)
        .join(Job, Job.id == Evaluation.id)
        .outerjoin(Judge, Judge.id == Evaluation.judge_id)
        .where(Job.org_id == org_id, Job.state.not_in(ENDED), named)
    )
    return session.scalar(query.limit(1)) is not None
