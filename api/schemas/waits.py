"""What a job waits for, on the wire."""

from datetime import UTC, datetime

from pydantic import BaseModel, Field

from services.jobs.waiting import Place
from services.jobs.waits import Reason, Wait


class QueuePlace(BaseModel):
    """The place of a job that waits."""

    position: int = Field(description="1 is the next.")
    starts_at: int | None = Field(description="A forecast, from how long jobs took before.")

    @classmethod
    def from_place(cls, place: Place) -> "QueuePlace":
        now = datetime.now(UTC).timestamp()
        starts_at = None if place.starts_in_s is None else int(now + place.starts_in_s)
        return cls(position=place.position, starts_at=starts_at)


class WaitsFor(BaseModel):
    """What a job waits for at this moment."""

    code: Reason
    message: str = Field(description="A sentence, such as: Waits for 2 jobs before it.")

    @classmethod
    def from_wait(cls, wait: Wait) -> "WaitsFor":
        return cls(code=wait.reason, message=wait.message)
