"""`/v1/api_keys`: for administrators."""

from typing import Annotated

from fastapi import Query, Response

from api.deps import Admin, ReaderDep, SessionDep
from api.pages import After, page
from api.routing import Router
from api.schemas.api_keys import ApiKeyObject, CreateApiKey, CreatedApiKey
from api.schemas.body import DIGITS_ONLY
from api.schemas.deleted import Deleted
from api.schemas.pages import ListPage
from api.schemas.text import Id
from services.access import api_keys
from services.platform.pages import Order

router = Router(prefix="/v1/api_keys", tags=["api keys"])


@router.post("", summary="Create a key; its text is in this answer only")
def create(session: SessionDep, caller: Admin, body: CreateApiKey) -> CreatedApiKey:
    """Create a key. Its text is in this answer only: the server keeps a hash."""
    record, text = api_keys.create(session, caller, body.name, body.scopes)
    return CreatedApiKey(**ApiKeyObject.from_record(record).model_dump(), key=text)


@router.get("", summary="List keys", response_model=ListPage[ApiKeyObject])
def list_keys(
    session: ReaderDep,
    caller: Admin,
    after: After = None,
    limit: Annotated[int, Query(ge=1, le=1000), DIGITS_ONLY] = 100,
    order: Order = Order.DESC,
) -> Response:
    """List keys without their texts; `hint` shows the last characters."""
    found = api_keys.list_page(session, caller, after=after, limit=limit, order=order)
    return page(map(ApiKeyObject.from_record, found), limit)


@router.delete("/{key_id}", summary="Revoke a key")
def revoke(session: SessionDep, caller: Admin, key_id: Id) -> Deleted:
    """Revoke a key and end its open streams. 409 for the last key with the scope `admin`."""
    record = api_keys.revoke(session, caller, key_id)
    return Deleted(id=record.id, object="api_key")
