"""Deployments on the wire."""

from typing import Any, Literal

from pydantic import BaseModel, ConfigDict, Field

from api.schemas.body import Body
from api.schemas.text import Id
from models.deployments import DeploymentStatus
from services.serving.deployments import Shown


class CreateDeployment(Body):
    """A model to be served."""

    model: Id = Field(description="A base model, a tuned one, or a checkpoint.")
    yields: bool | None = Field(
        None,
        description="Free the device while a job is trained, and return to it afterwards. If left "
        "out, the setting stays as it is: a new deployment keeps its device.",
    )


class EnginePlace(BaseModel):
    """Where an engine has a model."""

    device: str
    adapter: str | None = Field(description="Its name in the engine; null for whole weights.")


class Failure(BaseModel):
    """Why a deployment failed, and what to do."""

    message: str
    code: str
    param: str | None = None


class Parity(BaseModel):
    """The certificate that the engine serves what was trained; log-probs are in nats a token."""

    model_config = ConfigDict(extra="allow")

    token_ids_equal: bool
    max_logprob_diff: float
    mean_logprob_diff: float
    weights_sha256: str
    equal_to_base: bool = Field(description="A warning: the weights change nothing.")


class DeploymentObject(BaseModel):
    """One model that is served, or on its way."""

    id: str
    object: Literal["deployment"] = "deployment"
    model: str
    base_model: str
    status: DeploymentStatus
    error: Failure | None
    parity: Parity | None
    engine: EnginePlace | None
    yields: bool
    created_at: int
    ready_at: int | None

    @classmethod
    def from_record(cls, shown: Shown) -> "DeploymentObject":
        record = shown.deployment
        return cls(
            id=record.id,
            model=record.model,
            base_model=record.base_model,
            status=DeploymentStatus(record.status),
            error=_parsed(Failure, record.error),
            parity=_parsed(Parity, record.parity),
            engine=EnginePlace(device=shown.device, adapter=shown.adapter)
            if shown.device
            else None,
            yields=record.yields,
            created_at=int(record.created_at.timestamp()),
            ready_at=int(record.ready_at.timestamp()) if record.ready_at else None,
        )


def _parsed(schema: Any, stored: dict[str, Any] | None) -> Any:
    return schema.model_validate(stored) if stored else None
