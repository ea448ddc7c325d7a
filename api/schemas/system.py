"""The stack on the wire: what waits, which engines run, what protects the installation."""

from typing import Literal

from pydantic import BaseModel, Field

from api.schemas.waits import QueuePlace, WaitsFor
from models.deployments import DeploymentStatus
from models.jobs import Purpose
from services.serving.deployments import Shown
from services.upkeep.doctor import Finding
from services.upkeep.system import Running, Waiting


class WaitingJob(BaseModel):
    """A job, an estimate, a deep audit or an evaluation that waits."""

    id: str
    purpose: Purpose
    model: str
    name: str | None = Field(description="As given by an edit, otherwise the suffix.")
    training_file: str
    created_at: int
    queue: QueuePlace | None = Field(description="Null if it does not wait for a train worker.")
    waits_for: WaitsFor

    @classmethod
    def from_waiting(cls, waiting: Waiting) -> "WaitingJob":
        job, place = waiting.job, waiting.wait.place
        return cls(
            id=job.id,
            purpose=Purpose(job.purpose),
            model=job.base_model,
            name=job.name or job.suffix,
            training_file=job.training_file,
            created_at=int(job.created_at.timestamp()),
            queue=QueuePlace.from_place(place) if place else None,
            waits_for=WaitsFor.from_wait(waiting.wait),
        )


class ServedModel(BaseModel):
    """A model on an engine."""

    deployment_id: str
    model: str
    status: DeploymentStatus
    adapter: str | None = Field(description="Its name in the engine; null for whole weights.")

    @classmethod
    def from_shown(cls, shown: Shown) -> "ServedModel":
        record = shown.deployment
        return cls(
            deployment_id=record.id,
            model=record.model,
            status=DeploymentStatus(record.status),
            adapter=shown.adapter,
        )


class EngineObject(BaseModel):
    """A process of vLLM, and your models on it."""

    id: str
    status: Literal["starting", "ready"]
    served_name: str = Field(description="The name of the weights that it has loaded.")
    device: str
    host: str | None = Field(
        description="The machine; null for organisations that only use the installation."
    )
    memory_bytes: int | None = Field(
        description="Main memory of its processes; null if the API can't see them, as on another "
        "machine. Memory of a GPU is not counted."
    )
    models: list[ServedModel]
    created_at: int
    ready_at: int | None
    seen_at: int | None

    @classmethod
    def from_running(cls, running: Running) -> "EngineObject":
        engine = running.engine
        return cls(
            id=engine.id,
            status="ready" if engine.status == "ready" else "starting",
            served_name=engine.served_name,
            device=engine.device,
            host=running.host,
            memory_bytes=running.memory_bytes,
            models=[ServedModel.from_shown(each) for each in running.shown],
            created_at=int(engine.created_at.timestamp()),
            ready_at=int(engine.ready_at.timestamp()) if engine.ready_at else None,
            seen_at=int(engine.seen_at.timestamp()) if engine.seen_at else None,
        )


class SystemObject(BaseModel):
    """What the stack does now. `GET /v1/workers` lists its workers."""

    object: Literal["system"] = "system"
    degraded: list[str] = Field(description="What makes work wait, as in `/readyz`.")
    waiting: list[WaitingJob] = Field(description="Your jobs that wait, at most 100.")
    waiting_count: int = Field(description="How many wait, those that are not listed included.")
    engines: list[EngineObject]


class Check(BaseModel):
    """One line of the report."""

    name: str
    ok: bool | None = Field(description="Null if the line states no requirement.")
    what: str
    remedy: str = Field(description="What to do; empty if there is nothing to do.")


class DoctorObject(BaseModel):
    """What protects this installation, as `oddsmith doctor` says it of the API's own process."""

    object: Literal["doctor"] = "doctor"
    checks: list[Check]

    @classmethod
    def from_findings(cls, findings: list[Finding]) -> "DoctorObject":
        return cls(checks=[Check.model_validate(vars(finding)) for finding in findings])
