"""`/v1/webhooks`: who is told of what has ended, and the log of what was sent."""

from typing import Annotated

from fastapi import Query, Response

from api.deps import Admin, ReaderDep, SessionDep
from api.pages import After, page
from api.routing import Router
from api.schemas.body import DIGITS_ONLY
from api.schemas.deleted import Deleted
from api.schemas.pages import ListPage
from api.schemas.text import Id
from api.schemas.webhooks import CreatedWebhook, CreateWebhook, DeliveryObject, WebhookObject
from services.webhooks import deliveries, webhooks

router = Router(prefix="/v1/webhooks", tags=["webhooks"])


@router.post("", summary="Add a webhook; its signing secret is in this answer only")
def create(session: SessionDep, caller: Admin, body: CreateWebhook) -> CreatedWebhook:
    """Add a webhook. Jobs and evaluations of your organisation that end from now on are posted to
    it, signed so that `webhooks.unwrap` of OpenAI's client verifies them.
    """
    webhook, secret = webhooks.create(
        session, caller, name=body.name, url=body.url, event_types=body.event_types
    )
    shown = WebhookObject.from_record(webhook).model_dump()
    return CreatedWebhook(**shown, signing_secret=secret)


@router.get("", summary="List the webhooks", response_model=ListPage[WebhookObject])
def list_webhooks(
    session: ReaderDep,
    caller: Admin,
    after: After = None,
    limit: Annotated[int, Query(ge=1, le=100), DIGITS_ONLY] = 20,
) -> Response:
    """List your organisation's webhooks, newest first, without their signing secrets."""
    found = webhooks.list_page(session, caller, after=after, limit=limit)
    return page(map(WebhookObject.from_record, found), limit)


@router.get("/{webhook_id}", summary="One webhook")
def retrieve(session: ReaderDep, caller: Admin, webhook_id: Id) -> WebhookObject:
    """Return a webhook without its signing secret."""
    return WebhookObject.from_record(webhooks.get(session, caller, webhook_id))


@router.delete("/{webhook_id}", summary="Delete a webhook")
def delete(session: SessionDep, caller: Admin, webhook_id: Id) -> Deleted:
    """Delete a webhook with its log. What waits to be sent to it is dropped."""
    webhooks.delete(session, caller, webhook_id)
    return Deleted(id=webhook_id, object="webhook_endpoint.deleted")


@router.get(
    "/{webhook_id}/deliveries",
    summary="What was sent to a webhook",
    response_model=ListPage[DeliveryObject],
)
def list_deliveries(
    session: ReaderDep,
    caller: Admin,
    webhook_id: Id,
    after: After = None,
    limit: Annotated[int, Query(ge=1, le=1000), DIGITS_ONLY] = 20,
) -> Response:
    """List what was sent to a webhook, or waits to be sent, newest first; kept for 30 days."""
    found = deliveries.list_page(session, caller, webhook_id, after=after, limit=limit)
    return page(map(DeliveryObject.from_record, found), limit)


@router.post("/{webhook_id}/deliveries/{delivery_id}/retry", summary="Send an event again")
def retry(session: SessionDep, caller: Admin, webhook_id: Id, delivery_id: Id) -> DeliveryObject:
    """Send an event again now, under the same `webhook-id`, whether it was delivered or not."""
    return DeliveryObject.from_record(deliveries.retry(session, caller, webhook_id, delivery_id))
