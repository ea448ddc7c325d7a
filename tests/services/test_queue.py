"""Wake-ups for waiting work, and the deletion of old rows."""

from datetime import UTC, datetime, timedelta

from sqlalchemy import select

from models import IdempotencyKey, OutboxMessage
from models.base_models import BaseModelStatus
from services.platform import queue
from tests import records
from workers import keeper, prepare_queue


def ago(**time):
    return datetime.now(UTC) - timedelta(**time)


def test_a_base_that_was_deleted_while_downloading_is_left_alone(session, caller):
    fields = {"status": BaseModelStatus.DOWNLOADING, "created_at": ago(minutes=5)}
    records.base_model(session, caller, deleted_at=ago(minutes=1), **fields)
    awaited = records.base_model(session, caller, **fields)
    keeper._rewake_prepare(session)
    assert [message.task for message in session.scalars(select(OutboxMessage))] == ["prepare.next"]
    assert [item.id for item in prepare_queue.unmade(session)] == [awaited.id]


def test_old_keys_and_published_messages_are_forgotten(session):
    for name, age in (("old", ago(days=8)), ("young", ago(days=6))):
        session.add(
            IdempotencyKey(
                api_key_id="k", key=name, request_sha256="0", resource_id="r", created_at=age
            )
        )
    for published_at in (ago(hours=25), ago(hours=23), None):
        session.add(
            OutboxMessage(task="t", arguments={}, created_at=ago(days=2), published_at=published_at)
        )
    queue.prune(session)
    assert session.scalars(select(IdempotencyKey.key)).all() == ["young"]
    assert len(session.scalars(select(OutboxMessage)).all()) == 2
