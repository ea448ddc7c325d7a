"""`/v1/deployments`: which models are served, and whether they answer as they were trained."""

from typing import Annotated

from fastapi import Query, Response
from sqlalchemy.orm import Session

from api.deps import CallerDep, ReaderDep, SessionDep, Writer
from api.pages import After, page
from api.routing import Router
from api.schemas.body import DIGITS_ONLY
from api.schemas.deployments import CreateDeployment, DeploymentObject
from api.schemas.pages import ListPage
from api.schemas.text import Id
from models import Deployment
from services.platform.pages import Order
from services.serving import deployments

router = Router(prefix="/v1/deployments", tags=["deployments"])


@router.post("", summary="Serve a model; if it is deployed already, return that deployment")
def create(session: SessionDep, caller: Writer, body: CreateDeployment) -> DeploymentObject:
    """An engine loads the model and proves that it answers as it was trained (`parity`); then the
    deployment is `ready`. If the model is deployed already, its deployment is returned.
    """
    made = deployments.create(session, caller, body.model, yields=body.yields)
    return _object(session, made)


@router.get(
    "",
    summary="List what is served or on its way, newest first",
    response_model=ListPage[DeploymentObject],
)
def list_deployments(
    session: ReaderDep,
    caller: CallerDep,
    after: After = None,
    limit: Annotated[int, Query(ge=1, le=1000), DIGITS_ONLY] = 20,
    order: Order = Order.DESC,
) -> Response:
    """List deployments that are served, starting or failed, the newest first."""
    found = deployments.list_page(session, caller, after=after, limit=limit, order=order)
    shown = deployments.show(session, list(found))
    return page(map(DeploymentObject.from_record, shown), limit)


@router.get("/{deployment_id}", summary="Look at one deployment")
def retrieve(session: ReaderDep, caller: CallerDep, deployment_id: Id) -> DeploymentObject:
    """Return a deployment's state, its error if it failed, and its certificate."""
    return _object(session, deployments.get(session, caller, deployment_id))


@router.delete("/{deployment_id}", summary="Stop serving; chat with it ends at once")
def delete(session: SessionDep, caller: Writer, deployment_id: Id) -> DeploymentObject:
    """Stop serving a model; answers that are still on their way break off."""
    return _object(session, deployments.stop(session, caller, deployment_id))


def _object(session: Session, deployment: Deployment) -> DeploymentObject:
    (shown,) = deployments.show(session, [deployment])
    return DeploymentObject.from_record(shown)
