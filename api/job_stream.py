"""A job as a stream: state, metric deltas and events, from wherever the client left off.

The id of each message holds the place in all three, so that `Last-Event-ID` replays without a
gap or a double point. Between polls no session is held.
"""

import asyncio
from collections.abc import AsyncGenerator
from dataclasses import dataclass, replace
from typing import Any

from starlette.concurrency import run_in_threadpool

from api.schemas.jobs import JobEventObject, JobObject
from api.sse import Event
from services import job_events, jobs, metrics
from services.callers import Caller
from services.database import transaction

POLL_S = 0.5
MAX_INT64 = 2**63 - 1
STATE_FIELDS = {
    "status", "desired_status", "progress", "trained_tokens", "fine_tuned_model", "error",
    "estimated_finish", "prepared",
}  # fmt: skip


@dataclass(frozen=True)
class Place:
    """How far a client has read: the last event and the last step of each split."""

    event: int = 0
    train: int = -1
    held_out: int = -1

    @classmethod
    def parse(cls, text: str | None) -> "Place":
        """Read a place back from what a client sent; one that never was is the beginning."""
        try:
            parts = [int(part) for part in (text or "").split(".")]
            return cls(*parts) if max(map(abs, parts)) <= MAX_INT64 else cls()
        except (ValueError, TypeError):
            return cls()

    def __str__(self) -> str:
        return f"{self.event}.{self.train}.{self.held_out}"


@dataclass(frozen=True)
class News:
    state: dict[str, Any]
    metrics: list[dict[str, Any]]
    events: list[dict[str, Any]]
    seqs: list[int]
    ended: bool


def poll(caller: Caller, job_id: str, place: Place) -> News:
    with transaction() as session:
        job = jobs.get(session, caller, job_id)
        events = job_events.since(session, job_id, place.event)
        steps = metrics.after_step(
            session, job_id, {"train": place.train, "held_out": place.held_out}
        )
        shown = JobObject.from_record(job).model_dump(mode="json", include=STATE_FIELDS)
        objects = [JobEventObject.from_record(event).model_dump(mode="json") for event in events]
        return News(shown, steps, objects, [e.seq for e in events], job.state in jobs.ENDED)


async def follow(
    caller: Caller, job_id: str, last_event_id: str | None
) -> AsyncGenerator[Event, None]:
    """Yield messages until the job has ended and everything was told; then `done`."""
    place, state = Place.parse(last_event_id), None
    while True:
        news = await run_in_threadpool(poll, caller, job_id, place)
        if news.state != state:
            state = news.state
            yield Event(state, id=str(place), event="state")
        for step in news.metrics:
            place = replace(place, **{step["split"]: step["step"]})
            yield Event(step, id=str(place), event="metrics")
        for seq, event in zip(news.seqs, news.events, strict=True):
            place = replace(place, event=seq)
            yield Event(event, id=str(place), event="event")
        if news.ended and not news.metrics and not news.events:
            yield Event({}, id=str(place), event="done")
            return
        if not news.metrics and not news.events:
            await asyncio.sleep(POLL_S)
