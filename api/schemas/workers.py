"""Workers on the wire."""

from typing import Literal

from pydantic import BaseModel, Field

from models.jobs import Purpose
from services.jobs.workers import Seen, is_outdated


class Device(BaseModel):
    """One GPU of a worker."""

    index: int
    name: str
    memory_bytes: int


class WorkerObject(BaseModel):
    """A worker that is alive."""

    id: str
    object: Literal["worker"] = "worker"
    host: str = Field(
        description="The machine; a number for organisations that only use the installation."
    )
    queues: list[str] = Field(description="What it works for, such as `train`.")
    cores: int
    memory_bytes: int | None = Field(
        description="Main memory that it may use; null of an older release."
    )
    devices: list[Device] = Field(description="GPUs; empty where it trains on its cores.")
    release: str | None = Field(description="Oddsmith's version; null of an older release.")
    outdated: bool = Field(
        description="Of an older release than the API: it leaves newer jobs to others. Upgrade it."
    )
    seen_at: int
    job: str | None = Field(description="The job that it has now; null if it isn't yours.")
    job_name: str | None = Field(description="Its name, if it has one.")
    purpose: Purpose | None = Field(description="What that job is for.")

    @classmethod
    def from_record(cls, worker: Seen) -> "WorkerObject":
        return cls(
            id=worker.id,
            host=worker.host,
            queues=worker.record.queues,
            cores=worker.record.cores,
            memory_bytes=worker.record.memory_bytes,
            release=worker.record.release,
            devices=[Device.model_validate(device) for device in worker.record.devices],
            outdated=is_outdated(worker.record.spec_version),
            seen_at=int(worker.record.seen_at.timestamp()),
            job=worker.job.id if worker.job else None,
            job_name=worker.job.name or worker.job.suffix if worker.job else None,
            purpose=Purpose(worker.job.purpose) if worker.job else None,
        )
