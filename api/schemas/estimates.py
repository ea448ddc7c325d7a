"""Estimates on the wire: what a job would take, before it is created."""

from typing import Literal, cast

from pydantic import BaseModel

from api.schemas.jobs import SHOWN, JobError, JobMethod, method_of, seconds
from api.schemas.progress import Prepared
from models import Job
from models.jobs import JobState


class EstimateTime(BaseModel):
    """Seconds of the whole run: loading, training, evaluating with samples."""

    load_s: float
    train_s: float
    evaluate_s: float
    total_s: float


class EstimateMemory(BaseModel):
    """The peak memory of one process in bytes, by its use."""

    runtime_bytes: int
    weights_bytes: int
    gradients_bytes: int
    optimizer_bytes: int
    head_bytes: int
    activations_bytes: int
    peak_bytes: int


class EstimateDevice(BaseModel):
    """The device that was measured."""

    name: str
    memory_bytes: int


class Estimate(BaseModel):
    """What was measured: three steps on the heaviest batches, and one evaluation."""

    pairs: int
    held_out_pairs: int
    steps: int
    tokens: int
    tokens_per_s: float
    longest: int
    token_budget: int
    parameters: int
    trainable_parameters: int
    processes: int
    device: EstimateDevice
    time: EstimateTime
    memory: EstimateMemory


class EstimateObject(BaseModel):
    """`prepared` comes first and needs no device; `estimate` follows once it was measured."""

    id: str
    object: Literal["fine_tuning.job.estimate"] = "fine_tuning.job.estimate"
    created_at: int
    finished_at: int | None
    status: str
    model: str
    training_file: str
    validation_file: str | None
    method: JobMethod
    prepared: Prepared | None
    estimate: Estimate | None
    error: JobError | None

    @classmethod
    def from_record(cls, job: Job) -> "EstimateObject":
        return cls(
            id=job.id,
            created_at=seconds(job.created_at) or 0,
            finished_at=seconds(job.finished_at),
            status=SHOWN.get(JobState(job.state), job.state),
            model=job.base_model,
            training_file=job.training_file,
            validation_file=job.validation_file,
            method=method_of(job),
            prepared=cast("Prepared | None", job.prepared),
            estimate=Estimate.model_validate(job.estimate) if job.estimate else None,
            error=JobError(**job.error) if job.error else None,
        )
