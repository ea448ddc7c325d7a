"""Webhooks: addresses that are told what has ended, and a log of what was sent to each.

A webhook's signing secret is in no row: `services/webhooks/signing.py` derives it.
"""

from datetime import datetime
from enum import StrEnum

from sqlalchemy import ForeignKey, Index, text
from sqlalchemy.orm import Mapped, mapped_column

from models.base import Base, Created, Owned


class DeliveryStatus(StrEnum):
    PENDING = "pending"
    DELIVERED = "delivered"
    FAILED = "failed"


class Webhook(Owned, Base):
    __tablename__ = "webhooks"

    id: Mapped[str] = mapped_column(primary_key=True)
    name: Mapped[str]
    url: Mapped[str]
    event_types: Mapped[list[str]]
    # Of the secret that was shown: a derived one that differs is not used.
    secret_sha256: Mapped[str]
    secret_hint: Mapped[str]
    # Set when the receiver answered 410. Nothing is sent to the webhook after that.
    disabled_at: Mapped[datetime | None]


class WebhookDelivery(Created, Base):
    """One event for one webhook. `created_at` is when the object ended."""

    __tablename__ = "webhook_deliveries"
    __table_args__ = (
        Index(
            "ix_webhook_deliveries_due",
            "next_attempt_at",
            postgresql_where=text("status = 'pending'"),
        ),
        Index("ix_webhook_deliveries_webhook_id_created_at", "webhook_id", "created_at", "id"),
    )

    id: Mapped[str] = mapped_column(primary_key=True)
    webhook_id: Mapped[str] = mapped_column(ForeignKey("webhooks.id"))
    # The same for all webhooks that are told of the event.
    event_id: Mapped[str]
    event_type: Mapped[str]
    # The job or the evaluation that ended. No foreign key: it may be deleted before.
    object_id: Mapped[str]
    status: Mapped[str] = mapped_column(default=DeliveryStatus.PENDING)
    # Attempts that have begun.
    attempts: Mapped[int] = mapped_column(default=0)
    # Null unless it is pending. While an attempt is under way, when it counts as lost.
    next_attempt_at: Mapped[datetime | None]
    delivered_at: Mapped[datetime | None]
    # Of the newest attempt: the answer's HTTP status, and a sentence if it failed.
    last_status_code: Mapped[int | None]
    last_error: Mapped[str | None]
