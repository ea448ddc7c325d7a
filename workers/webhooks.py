"""The task that sends webhooks. It is a wake-up: which deliveries are due is read from Postgres.

A receiver may take seconds to answer, or never do so, so deliveries are made in the background.
"""

import logging
import time

import anyio
import httpx2

from services.platform import egress
from services.platform.database import transaction
from services.platform.errors import Invalid, Unavailable
from services.platform.queue import Task
from services.platform.version import VERSION
from services.webhooks import deliveries, signing
from services.webhooks.deliveries import TIMEOUT_S, Attempt, Outcome
from workers.app import app
from workers.background import Background

logger = logging.getLogger("oddsmith.workers")

AT_ONCE = 16
LONGEST_REASON = 500
HEADERS = {"content-type": "application/json", "user-agent": f"oddsmith/{VERSION}"}


@app.task(name=Task.DELIVER)
def deliver() -> None:
    """Begin to deliver."""
    DELIVERIES.wake()


def deliver_due() -> int:
    """Attempt up to AT_ONCE deliveries that are due, all at once, and return how many it were."""
    with transaction() as session:
        claimed = deliveries.claim(session, AT_ONCE)
    if claimed:
        anyio.run(_send_all, claimed)
    return len(claimed)


DELIVERIES = Background("webhooks", deliver_due)


async def _send_all(claimed: list[Attempt]) -> None:
    async with (
        egress.async_client(timeout=TIMEOUT_S, headers=HEADERS) as client,
        anyio.create_task_group() as group,
    ):
        for attempt in claimed:
            group.start_soon(_send, client, attempt)


async def _send(client: httpx2.AsyncClient, attempt: Attempt) -> None:
    outcome = await _outcome(client, attempt)
    facts = {"webhook": attempt.webhook_id, "delivery": attempt.delivery_id}
    facts |= {"attempt": attempt.number, "status_code": outcome.status_code}
    logger.info("sent a webhook", extra={**facts, "failure": outcome.error})
    await anyio.to_thread.run_sync(_note, attempt, outcome)


def _note(attempt: Attempt, outcome: Outcome) -> None:
    with transaction() as session:
        deliveries.note(session, attempt, outcome)


async def _outcome(client: httpx2.AsyncClient, attempt: Attempt) -> Outcome:
    """Send one event. The answer's body is not read, and redirects are not followed."""
    try:
        headers = _signed(attempt)
        # The client's own timeout is for each read: a receiver that drips would never reach it.
        with anyio.fail_after(TIMEOUT_S):
            sending = client.stream("POST", attempt.url, content=attempt.body, headers=headers)
            async with sending as response:
                return _of_status(response.status_code)
    except (Unavailable, Invalid) as refused:
        return Outcome(error=refused.message)
    except (TimeoutError, httpx2.TimeoutException):
        return Outcome(error=f"The receiver did not answer within {TIMEOUT_S} seconds.")
    except Exception as error:  # noqa: BLE001 - the other events of this turn must be noted
        why = f"{type(error).__name__}: {error}"[:LONGEST_REASON]
        return Outcome(error=f"The event could not be sent ({why}).")


def _signed(attempt: Attempt) -> dict[str, str]:
    """Return the headers with the signature. Raises Unavailable without the operator's key."""
    secret = signing.secret_of(attempt.webhook_id)
    if signing.sha256_of(secret) != attempt.secret_sha256:
        raise Unavailable(
            "The operator's ODDSMITH_WEBHOOK_SECRET has changed, so the signing secret that was "
            "shown no longer applies. Add the webhook again."
        )
    return signing.headers(secret, attempt.delivery_id, int(time.time()), attempt.body)


def _of_status(status_code: int) -> Outcome:
    if 200 <= status_code < 300:
        return Outcome(status_code)
    redirected = " Redirects are not followed: change the url." if status_code // 100 == 3 else ""
    return Outcome(status_code, f"The receiver answered with HTTP {status_code}.{redirected}")
