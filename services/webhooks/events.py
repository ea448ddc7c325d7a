"""The events that webhooks are told of, written in the transaction in which a job ends.

The end is fenced, so an event is written once, and never for an end that was not committed.
"""

from enum import StrEnum

from sqlalchemy import func, insert, select
from sqlalchemy.orm import Session

from models import Job, Webhook, WebhookDelivery
from models.base import new_id
from models.jobs import JobState, Purpose
from models.webhooks import DeliveryStatus
from services.platform.queue import Task, send


class EventType(StrEnum):
    """Events by the names that OpenAI's webhooks use, spelling included."""

    JOB_SUCCEEDED = "fine_tuning.job.succeeded"
    JOB_FAILED = "fine_tuning.job.failed"
    JOB_CANCELLED = "fine_tuning.job.cancelled"
    EVALUATION_SUCCEEDED = "eval.run.succeeded"
    EVALUATION_FAILED = "eval.run.failed"
    EVALUATION_CANCELED = "eval.run.canceled"


# Estimates and deep audits have no event.
OF_END = {
    (Purpose.TRAIN, JobState.SUCCEEDED): EventType.JOB_SUCCEEDED,
    (Purpose.TRAIN, JobState.FAILED): EventType.JOB_FAILED,
    (Purpose.TRAIN, JobState.CANCELLED): EventType.JOB_CANCELLED,
    (Purpose.EVALUATION, JobState.SUCCEEDED): EventType.EVALUATION_SUCCEEDED,
    (Purpose.EVALUATION, JobState.FAILED): EventType.EVALUATION_FAILED,
    (Purpose.EVALUATION, JobState.CANCELLED): EventType.EVALUATION_CANCELED,
}


def announce(session: Session, job: Job) -> None:
    """Write a delivery for each webhook of the organisation that wants the end of this job.

    The caller has locked the job's row and has set its last state.
    """
    event_type = OF_END.get((Purpose(job.purpose), JobState(job.state)))
    if event_type is None:
        return
    wanting = select(Webhook.id).where(
        Webhook.org_id == job.org_id,
        Webhook.disabled_at.is_(None),
        Webhook.event_types.contains([event_type]),
    )
    # The lock waits for a webhook that is being deleted or turned off at this moment: no row may
    # name one that is gone, which would refuse the end of the job.
    ids = session.scalars(wanting.with_for_update(read=True)).all()
    if not ids:
        return
    event_id = new_id("evt")
    found = [
        {
            "id": new_id("whdel"),
            "webhook_id": webhook_id,
            "event_id": event_id,
            "event_type": event_type,
            "object_id": job.id,
            "status": DeliveryStatus.PENDING,
            "next_attempt_at": func.clock_timestamp(),
        }
        for webhook_id in ids
    ]
    session.execute(insert(WebhookDelivery).values(found))
    send(session, Task.DELIVER)
