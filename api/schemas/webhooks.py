"""Webhooks on the wire, in the shape of OpenAI's. Only the answer to a create holds the secret."""

from typing import Annotated, Literal

from pydantic import BaseModel, Field

from api.schemas.body import Body
from api.schemas.text import Text
from models import Webhook, WebhookDelivery
from models.webhooks import DeliveryStatus
from services.webhooks.events import EventType


class CreateWebhook(Body):
    """An address, and the events that are sent to it."""

    name: Text = Field(min_length=1, max_length=200)
    url: Text = Field(
        min_length=1,
        max_length=2000,
        description="Where events are posted: https or http. Private networks only where the "
        "operator allows them.",
    )
    event_types: list[Annotated[EventType, Field(strict=False)]] = Field(
        min_length=1, max_length=len(EventType)
    )


class WebhookObject(BaseModel):
    """A webhook without its signing secret."""

    id: str
    object: Literal["webhook_endpoint"] = "webhook_endpoint"
    created_at: int
    name: str
    url: str
    event_types: list[str]
    signing_secret_hint: str
    disabled_at: int | None = Field(
        description="When its receiver answered 410 (Gone): nothing is sent to it since then."
    )

    @classmethod
    def from_record(cls, webhook: Webhook) -> "WebhookObject":
        return cls(
            id=webhook.id,
            created_at=int(webhook.created_at.timestamp()),
            name=webhook.name,
            url=webhook.url,
            event_types=webhook.event_types,
            signing_secret_hint=webhook.secret_hint,
            disabled_at=webhook.disabled_at and int(webhook.disabled_at.timestamp()),
        )


class CreatedWebhook(WebhookObject):
    """A new webhook with its signing secret."""

    signing_secret: str = Field(description="`whsec_...`, shown this once; it is not stored.")


class DeliveryObject(BaseModel):
    """One event for one webhook, with what became of it. `id` is sent as `webhook-id`."""

    id: str
    object: Literal["webhook_endpoint.delivery"] = "webhook_endpoint.delivery"
    created_at: int = Field(description="When the job or the evaluation ended.")
    webhook_id: str
    event_id: str = Field(description="The `id` in the event; the same for all webhooks.")
    event_type: str
    object_id: str = Field(description="The job or the evaluation.")
    status: DeliveryStatus = Field(
        description="`pending`: it is sent at `next_attempt_at`. `failed`: given up after a day, "
        "or the webhook was turned off."
    )
    attempts: int = Field(description="Those that have begun, one that is under way included.")
    next_attempt_at: int | None
    delivered_at: int | None
    last_status_code: int | None = Field(description="Of the newest answer.")
    last_error: str | None = Field(description="Why the newest attempt failed.")

    @classmethod
    def from_record(cls, delivery: WebhookDelivery) -> "DeliveryObject":
        next_at, delivered_at = delivery.next_attempt_at, delivery.delivered_at
        return cls(
            id=delivery.id,
            created_at=int(delivery.created_at.timestamp()),
            webhook_id=delivery.webhook_id,
            event_id=delivery.event_id,
            event_type=delivery.event_type,
            object_id=delivery.object_id,
            status=DeliveryStatus(delivery.status),
            attempts=delivery.attempts,
            next_attempt_at=next_at and int(next_at.timestamp()),
            delivered_at=delivered_at and int(delivered_at.timestamp()),
            last_status_code=delivery.last_status_code,
            last_error=delivery.last_error,
        )
