"""`/v1/suites`: what models can be evaluated on."""

from fastapi import Response

from api.deps import CallerDep
from api.pages import page
from api.routing import Router
from api.schemas.pages import ListPage
from api.schemas.suites import SuiteObject
from services.evaluations.suites import SUITES

router = Router(prefix="/v1/suites", tags=["evaluations"])


@router.get("", summary="List the suites", response_model=ListPage[SuiteObject])
def list_suites(_: CallerDep) -> Response:
    """List all suites, each with the parts of a request that it needs."""
    return page(map(SuiteObject.from_suite, SUITES.values()))
