"""`/v1/workers`: who trains here, and on what."""

from api.deps import CallerDep, SessionDep
from api.pages import ListPage, page
from api.routing import Router
from api.schemas.workers import WorkerObject
from services import workers

router = Router(prefix="/v1/workers", tags=["fine-tuning"])


@router.get("", summary="Train workers that are alive, with their devices and their jobs")
def list_workers(session: SessionDep, caller: CallerDep) -> ListPage[WorkerObject]:
    seen = workers.fleet(session).seen_by(caller)
    return page([WorkerObject.from_record(worker) for worker in seen])
