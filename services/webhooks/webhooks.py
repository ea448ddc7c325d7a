"""Webhooks: add, list, delete."""

from collections.abc import Iterator, Sequence
from urllib.parse import urlsplit
from urllib.request import getproxies_environment

from sqlalchemy import delete as delete_rows
from sqlalchemy import func, select
from sqlalchemy.orm import Session

from models import Organization, Webhook, WebhookDelivery
from models.base import new_id
from services.access import audit_log
from services.access.audit_log import Action, Object
from services.access.callers import Caller
from services.platform import egress
from services.platform.errors import Conflict, Invalid, no_such
from services.platform.pages import paginate
from services.webhooks import signing
from services.webhooks.events import EventType

# Of one organisation: each end of a job writes a row for each of them.
MOST = 50
HINT_LENGTH = 4


def create(
    session: Session, caller: Caller, *, name: str, url: str, event_types: Sequence[EventType]
) -> tuple[Webhook, str]:
    """Add a webhook. Return it with its signing secret, which can't be shown again.

    Raises Invalid with `param` for an address that may not be connected to, Conflict if there are
    MOST webhooks, and Unavailable if the operator has set no key to sign with.
    """
    _check_url(url)
    # Two creates at once are counted one after the other.
    session.get_one(Organization, caller.org_id, with_for_update=True)
    query = select(func.count()).select_from(Webhook).where(Webhook.org_id == caller.org_id)
    if session.scalar(query) == MOST:
        raise Conflict(
            f"An organisation has at most {MOST} webhooks. Delete one that is not needed.",
            code="too_many_webhooks",
        )
    webhook_id = new_id("whe")
    secret = signing.secret_of(webhook_id)
    webhook = Webhook(
        id=webhook_id,
        org_id=caller.org_id,
        api_key_id=caller.api_key_id,
        name=name,
        url=url,
        event_types=list(dict.fromkeys(event_types)),
        secret_sha256=signing.sha256_of(secret),
        secret_hint=f"{signing.PREFIX}…{secret[-HINT_LENGTH:]}",
    )
    session.add(webhook)
    session.flush()
    # Not the whole address: its path or its query may hold a token of the receiver.
    facts = {"host": urlsplit(url).hostname, "event_types": webhook.event_types}
    audit_log.record(session, caller, Action.CREATED, Object.WEBHOOK, webhook_id, **facts)
    return webhook, secret


def _check_url(url: str) -> None:
    """Raise Invalid unless the address is one of http or https that may be connected to."""
    try:
        parts = urlsplit(url)
        _ = parts.port
    except ValueError:
        raise _no_url() from None
    is_plain = url.isascii() and url.isprintable() and " " not in url and "@" not in parts.netloc
    if parts.scheme not in egress.PORTS or not parts.hostname or parts.fragment or not is_plain:
        raise _no_url()
    if not getproxies_environment():  # else the proxy resolves names and decides
        egress.check(url, "url")


def _no_url() -> Invalid:
    return Invalid(
        "A url is an address such as https://example.com/hooks: https or http, in ASCII, without a "
        "user's name and a fragment.",
        param="url",
    )


def get(session: Session, caller: Caller, webhook_id: str) -> Webhook:
    """Return the caller's webhook, or raise NotFound."""
    webhook = session.get(Webhook, webhook_id)
    if webhook is None or webhook.org_id != caller.org_id:
        raise no_such("webhook", webhook_id, "webhook_id", "GET /v1/webhooks")
    return webhook


def list_page(
    session: Session, caller: Caller, *, after: str | None = None, limit: int = 20
) -> Iterator[Webhook]:
    """Yield the caller's webhooks, newest first, and one beyond the limit."""
    query = select(Webhook).where(Webhook.org_id == caller.org_id)
    return paginate(session, query, Webhook.created_at, Webhook.id, after=after, limit=limit)


def delete(session: Session, caller: Caller, webhook_id: str) -> None:
    """Delete a webhook with its log. What is on its way may still arrive."""
    webhook = get(session, caller, webhook_id)
    session.refresh(webhook, with_for_update=True)
    session.execute(delete_rows(WebhookDelivery).where(WebhookDelivery.webhook_id == webhook_id))
    session.delete(webhook)
    audit_log.record(session, caller, Action.DELETED, Object.WEBHOOK, webhook_id)
    session.flush()
