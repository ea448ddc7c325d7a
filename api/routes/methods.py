"""`/v1/fine_tuning/methods`: what a job can be asked to do, with the defaults of this version."""

from fastapi import Response

from api.deps import CallerDep
from api.pages import ListPage, page
from api.routing import Router
from api.schemas.methods import MethodObject
from orpo.methods import METHODS

router = Router(prefix="/v1/fine_tuning/methods", tags=["fine-tuning"])


@router.get(
    "", summary="Ways to train and their hyperparameters", response_model=ListPage[MethodObject]
)
def list_methods(_: CallerDep) -> Response:
    """List methods, each with its settings in the order of a form, and their JSON schema."""
    return page(MethodObject.from_method(name, method) for name, method in METHODS.items())
