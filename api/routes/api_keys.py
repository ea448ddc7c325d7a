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
from services.votes import raters

router = Router(prefix="/v1/api_keys", tags=["api keys"])


@router.post("", summary="Create a key; its text is in this answer only")
def create(session: SessionDep, caller: Admin, body: CreateApiKey) -> CreatedApiKey:
    """Create a key. Its text is in this answer only: the server keeps a hash.

    With the scope `vote` and an evaluation, the key is a rater's, and `path` is the link for the
    rater. 409 if the evaluation has not succeeded, or has no two answers to one prompt.
    """
    made = raters.create_key(session, caller, body.name, body.scopes, body.evaluation_id)
    return CreatedApiKey.from_created(*made)


@router.get("", summary="List keys", response_model=ListPage[ApiKeyObject])
def list_keys(
    session: ReaderDep,
    caller: Admin,
    evaluation_id: Annotated[Id | None, Query(description="Keys of raters of this one.")] = None,
    after: After = None,
    limit: Annotated[int, Query(ge=1, le=1000), DIGITS_ONLY] = 100,
    order: Order = Order.DESC,
) -> Response:
    """List keys without their texts; `hint` shows the last characters."""
    asked = {"evaluation_id": evaluation_id, "after": after, "limit": limit, "order": order}
    found = list(api_keys.list_page(session, caller, **asked))
    votes = raters.votes_of(session, caller, [key.id for key in found])
    return page((ApiKeyObject.from_record(key, votes.get(key.id, 0)) for key in found), limit)


@router.delete("/{key_id}", summary="Revoke a key")
def revoke(session: SessionDep, caller: Admin, key_id: Id) -> Deleted:
    """Revoke a key and end its open streams. 409 for the last key with the scope `admin`."""
    record = api_keys.revoke(session, caller, key_id)
    return Deleted(id=record.id, object="api_key")
