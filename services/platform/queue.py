"""The outbox: a wake-up is written in the transaction of its change and published after the commit.

A message is a hint, never an assignment: a lost or duplicate one only changes when work begins.
"""

from collections.abc import Callable
from datetime import timedelta
from enum import StrEnum
from typing import Any, cast

import redis
from sqlalchemy import Table, delete, func, insert, select
from sqlalchemy.orm import Session

from models import IdempotencyKey, OutboxMessage
from services.platform.settings import get_settings

TABLE = cast("Table", OutboxMessage.__table__)
MESSAGES_KEPT = timedelta(hours=24)
# An identical create later than this is intentional.
KEYS_KEPT = timedelta(days=7)


class Task(StrEnum):
    """Names of the Celery tasks."""

    VALIDATE_FILE = "files.validate"
    # REMOVE removes what is marked as deleted. TIDY removes what is old or has no row, and measures
    # the rest.
    REMOVE = "files.remove"
    # Sends what webhooks are to be told.
    DELIVER = "files.deliver"
    # Copies numbers to trackers of experiments.
    MIRROR = "files.mirror"
    TIDY = "prepare.tidy"
    PREPARE = "prepare.next"
    TRAIN = "train.run"
    RECONCILE = "serve.reconcile"
    EVALUATE = "evals.run"

    @property
    def queue(self) -> str:
        """The queue it goes to: the part of its name before the dot."""
        return self.partition(".")[0]


TRAIN = Task.TRAIN.queue
QUEUES = tuple(dict.fromkeys(task.queue for task in Task))


def broker() -> redis.Redis:
    """Return a client of Redis with a timeout of 2 s; the caller closes it."""
    return redis.Redis.from_url(
        get_settings().redis_url, socket_timeout=2, socket_connect_timeout=2
    )


def send(session: Session, task: Task, **arguments: Any) -> None:
    """Put a wake-up for `task` into the outbox of the current transaction."""
    # Into the table itself: the message is not needed as an object, and the session's bookkeeping
    # takes as long as the insert.
    session.execute(insert(TABLE).inline(), {"task": task, "arguments": arguments})


def dispatch(
    session: Session, publish: Callable[[str, dict[str, Any]], None], limit: int = 100
) -> int:
    """Publish waiting messages in order and return how many.

    A message that can't be published stays for the next round. Messages that were published before
    it are marked when the caller commits. If it does not commit, they are published twice, which is
    harmless.
    """
    waiting = session.scalars(
        select(OutboxMessage)
        .where(OutboxMessage.published_at.is_(None))
        .order_by(OutboxMessage.id)
        .limit(limit)
        .with_for_update(skip_locked=True)
    ).all()
    for message in waiting:
        publish(message.task, message.arguments)
        message.published_at = func.clock_timestamp()
    return len(waiting)


def prune(session: Session) -> None:
    """Delete old messages that were published, and old idempotency keys."""
    now = func.clock_timestamp()
    session.execute(delete(OutboxMessage).where(OutboxMessage.published_at < now - MESSAGES_KEPT))
    session.execute(delete(IdempotencyKey).where(IdempotencyKey.created_at < now - KEYS_KEPT))
