"""`/v1/workers`: the workers of all queues, and the devices of those that train."""

from typing import Annotated

from fastapi import Query, Response

from api.deps import CallerDep, SessionDep
from api.pages import After, page
from api.routing import Router
from api.schemas.body import DIGITS_ONLY
from api.schemas.pages import ListPage
from api.schemas.workers import WorkerObject
from services.jobs import workers
from services.platform.pages import following

router = Router(prefix="/v1/workers", tags=["fine-tuning"])


@router.get(
    "",
    summary="Workers that are alive, with their queues, devices and jobs",
    response_model=ListPage[WorkerObject],
)
def list_workers(
    session: SessionDep,
    caller: CallerDep,
    after: After = None,
    limit: Annotated[int, Query(ge=1, le=1000), DIGITS_ONLY] = 1000,
) -> Response:
    """List workers; `job` is null if one is idle or has another organisation's job."""
    seen = workers.of_all_queues(session).seen_by(caller)
    return page(map(WorkerObject.from_record, following(seen, after, limit)), limit)
