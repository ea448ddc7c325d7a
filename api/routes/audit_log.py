"""`/v1/audit_log`: who did what to which object, and when. For administrators."""

from typing import Annotated

from fastapi import Query, Response

from api.deps import Admin, ReaderDep
from api.pages import After, page
from api.routing import Router
from api.schemas.audit_log import AuditEntryObject
from api.schemas.body import DIGITS_ONLY
from api.schemas.pages import ListPage
from api.schemas.text import Id
from services.access import audit_log
from services.platform.pages import Order

router = Router(prefix="/v1/audit_log", tags=["administration"])


@router.get(
    "",
    summary="List what was created, deleted, deployed, exported or revoked",
    response_model=ListPage[AuditEntryObject],
)
def list_entries(
    session: ReaderDep,
    caller: Admin,
    object_id: Annotated[Id | None, Query(description="Only entries of this object.")] = None,
    after: After = None,
    limit: Annotated[int, Query(ge=1, le=1000), DIGITS_ONLY] = 20,
    order: Order = Order.DESC,
) -> Response:
    """List entries: which key did what to which object. An entry is never changed."""
    found = audit_log.list_page(
        session, caller, object_id=object_id, after=after, limit=limit, order=order
    )
    return page(map(AuditEntryObject.from_record, found), limit)
