"""Reads what is new of a job after a place, as messages that are encoded once, and makes frames.

The id of each frame is the place after it, so that a replay from `Last-Event-ID` has no gaps and no
duplicates. Reads Postgres; knows no client.
"""

from collections.abc import Iterable
from dataclasses import asdict, dataclass, replace
from typing import Any, cast

import orjson
from sqlalchemy.orm import Session

from api import sse
from api.schemas.evaluations import EvaluationObject
from api.schemas.jobs import JobEventObject, JobObject
from models import Evaluation, Job
from models.jobs import Purpose
from orpo.contract.rundir import Split
from services.access.callers import Caller
from services.evaluations.evaluations import EvaluationJob
from services.jobs import jobs
from services.jobs.states import ENDED
from services.platform.database import reading
from services.runs import job_events, metrics, series

MAX_INT64 = 2**63 - 1
STATE_FIELDS = {
    "status", "desired_status", "progress", "trained_tokens", "fine_tuned_model", "error",
    "estimated_finish", "prepared", "gates", "promotion",
}  # fmt: skip
EVALUATION_FIELDS = {
    "status", "started_at", "finished_at", "progress", "counts", "is_subset", "is_incomplete",
    "scores", "preference", "rewards", "excluded", "diversity", "judges_itself", "agreement",
    "error",
}  # fmt: skip


@dataclass(frozen=True, slots=True)
class Place:
    """How far a client has read: the last event and the last step of each split."""

    event: int = 0
    train: int = -1
    held_out: int = -1

    @classmethod
    def parse(cls, text: str | None) -> "Place":
        """Parse the place that a client sent; an invalid one becomes the beginning."""
        try:
            parts = [int(part) for part in (text or "").split(".")]
            return cls(*parts) if max(map(abs, parts)) <= MAX_INT64 else cls()
        except (ValueError, TypeError):
            return cls()

    def __str__(self) -> str:
        return f"{self.event}.{self.train}.{self.held_out}"

    def reaches(self, other: "Place") -> bool:
        """Whether a client at this place has received everything up to `other`."""
        return (
            self.event >= other.event
            and self.train >= other.train
            and self.held_out >= other.held_out
        )

    def lowest(self, other: "Place") -> "Place":
        """The lower of the two in each part: all that is new at either place comes after it."""
        return Place(
            min(self.event, other.event),
            min(self.train, other.train),
            min(self.held_out, other.held_out),
        )


def newest(session: Session, job_id: str) -> Place:
    """Return the place after everything that is stored of a job now."""
    ends = series.last_steps(session, job_id)
    return Place(
        job_events.newest(session, job_id), ends.get(Split.TRAIN, -1), ends.get(Split.HELD_OUT, -1)
    )


@dataclass(frozen=True, slots=True)
class Message:
    """One message, as JSON. It moves `part` of a place to `to`; a state moves none."""

    name: str
    data: bytes
    part: str | None = None
    to: int = 0

    def frame(self, place: Place) -> bytes:
        return sse.frame(self.data, id=str(place), event=self.name)


@dataclass(frozen=True, slots=True)
class News:
    """What one read found after a place, and the version of the job's row before the read."""

    state: Message
    messages: list[Message]
    ended: bool
    version: str | None


def read(
    caller: Caller,
    job_id: str,
    place: Place,
    version: str | None = None,
    purpose: Purpose = Purpose.TRAIN,
) -> News | None:
    """Read what is new after `place`, up to some thousand values: whole steps, then events.

    Returns None if nothing is new and the job's row still has `version`. Raises NotFound if the
    caller has no such job with this purpose.
    """
    with reading() as session:
        now, anything = job_events.glance(session, job_id, **asdict(place))
        if not anything and version is not None and version == now:
            return None
        job = jobs.get(session, caller, job_id, purpose=purpose)
        events = job_events.since(session, job_id, place.event)
        cursors: dict[str, int] = {Split.TRAIN: place.train, Split.HELD_OUT: place.held_out}
        steps = metrics.after_step(session, job_id, cursors)
        shown = _shown(session, job)
    messages = [Message("metrics", orjson.dumps(s), s["split"], s["step"]) for s in steps]
    for event in events:
        data = JobEventObject.from_record(event).model_dump_json().encode()
        messages.append(Message("event", data, "event", event.seq))
    state = Message("state", orjson.dumps(shown))
    return News(state, messages, job.state in ENDED, now)


def read_whole(caller: Caller, job_id: str, place: Place, purpose: Purpose = Purpose.TRAIN) -> News:
    """The same for a client that knows no version yet."""
    return cast("News", read(caller, job_id, place, None, purpose))


def _shown(session: Session, job: Job) -> dict[str, Any]:
    """The part of a job, or of an evaluation, that changes."""
    if job.purpose != Purpose.EVALUATION:
        return JobObject.from_record(job).model_dump(mode="json", include=STATE_FIELDS)
    found = EvaluationJob(session.get_one(Evaluation, job.id), job)
    whole = EvaluationObject.from_record(found, judge=None)
    return whole.model_dump(mode="json", include=EVALUATION_FIELDS)


def frames(place: Place, messages: Iterable[Message]) -> tuple[bytes, Place]:
    """Return the frames of those messages that are new at `place`, and the place after them."""
    framed: list[bytes] = []
    for message in messages:
        if message.part is not None:
            if message.to <= getattr(place, message.part):
                continue
            place = replace(place, **{message.part: message.to})
        framed.append(message.frame(place))
    return b"".join(framed), place


def done(place: Place) -> bytes:
    """Return the frame `done`, the last one of a job."""
    return Message("done", b"{}").frame(place)
