"""Train workers on the wire."""

from typing import Literal

from pydantic import BaseModel, Field

from models import Worker
from services.workers import is_outdated


class Device(BaseModel):
    index: int
    name: str
    memory_bytes: int


class WorkerObject(BaseModel):
    id: str
    object: Literal["worker"] = "worker"
    host: str
    cores: int
    devices: list[Device] = Field(description="GPUs; empty where it trains on its cores.")
    outdated: bool = Field(
        description="Of an older release than the API: it leaves newer jobs to others. Upgrade it."
    )
    seen_at: int
    job: str | None = Field(description="What it trains now, where that is yours.")

    @classmethod
    def from_record(cls, worker: Worker, job: str | None) -> "WorkerObject":
        return cls(
            id=worker.id,
            host=worker.host,
            cores=worker.cores,
            devices=[Device.model_validate(device) for device in worker.devices],
            outdated=is_outdated(worker.spec_version),
            seen_at=int(worker.seen_at.timestamp()),
            job=job,
        )
