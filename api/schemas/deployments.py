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


class RenderedToken(BaseModel):
    """A token, with its text as the engine decodes it."""

    id: int
    text: str


class TokenDifference(BaseModel):
    """The first token that trainer and engine render differently, with some around it."""

    prompt: int = Field(description="Which prompt of the probe, from 0.")
    of: Literal["prompt", "escaped", "thinking_on", "thinking_off"] = Field(
        "prompt", description="How it was rendered: as it is, or with `enable_thinking` on or off."
    )
    at: int = Field(description="The position of the first difference in the prompt.")
    start: int = Field(description="The position of the first token that is shown.")
    trainer: list[RenderedToken]
    engine: list[RenderedToken]


class TemplateRenders(BaseModel):
    """What the chat template renders; a chat with more is refused."""

    tools: bool
    reasoning: bool
    enable_thinking: bool
    tool_parser: str | None = Field(
        None,
        description="The engine's parser of tool calls. Null: calls stay in the text of answers.",
    )


class Parity(BaseModel):
    """The certificate that the engine serves what was trained; log-probs are in nats a token."""

    model_config = ConfigDict(extra="allow")

    token_ids_equal: bool
    thinking_ids_equal: bool | None = Field(
        None, description="With thinking on and off; null where the template has no such switch."
    )
    tools_ids_equal: bool | None = Field(
        None, description="Of prompts with tools; null where none was compared."
    )
    difference: TokenDifference | None = Field(
        None, description="The first tokens that differ, where some do."
    )
    max_logprob_diff: float
    mean_logprob_diff: float
    weights_sha256: str
    equal_to_base: bool = Field(description="A warning: the weights change nothing.")
    renders: TemplateRenders | None = Field(
        None, description="Null where an earlier release made the certificate."
    )


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
