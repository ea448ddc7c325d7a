"""Comparisons on the wire: several models answer, side by side, and one is found better."""

from typing import Any, Literal

from pydantic import BaseModel, ConfigDict, Field, model_validator
from pydantic.config import JsonDict, JsonValue
from pydantic_core import PydanticCustomError

from api.schemas.body import Body
from api.schemas.chat import Message, Messages, Sampling, upstream_body
from api.schemas.errors import Error
from api.schemas.stored import MessageObject, Stored
from api.schemas.text import CUT, Id
from models import Comparison
from models.comparisons import Choice, Reason


class SideRequest(Sampling):
    """What one side is asked: its own conversation and its own sampling settings."""

    model: Id
    messages: Messages

    def upstream(self, model: str) -> dict[str, Any]:
        """The body for the side's engine: a stream that ends with its usage."""
        body = upstream_body(self, model, self.messages)
        return body | {"stream": True, "stream_options": {"include_usage": True}}

    def characters(self) -> int:
        """About how many characters reach the template."""
        return sum(message.characters() for message in self.messages)


class HeldOut(Body):
    """The held-out pair of a job whose prompt was asked."""

    job_id: Id
    line: int = Field(ge=1, lt=2**31)


NULL: JsonDict = {"type": "null"}
LIST: JsonDict = {"type": "array"}
SHARED = ("models", "messages", *Sampling.model_fields)


ONE_WAY: list[JsonValue] = [
    {
        "required": ["models", "messages"],
        "properties": {"sides": NULL, "models": LIST, "messages": LIST},
    },
    {"required": ["sides"], "properties": {**dict.fromkeys(SHARED, NULL), "sides": LIST}},
]


class CompareRequest(Sampling):
    """Either `models` that are all asked the same, or `sides` that are each asked their own."""

    model_config = ConfigDict(json_schema_extra={"oneOf": ONE_WAY})

    models: list[Id] | None = Field(None, min_length=2, max_length=4)
    messages: Messages | None = None
    sides: list[SideRequest] | None = Field(None, min_length=2, max_length=4)
    held_out: HeldOut | None = Field(None, description="The held-out pair that has this prompt.")

    @model_validator(mode="after")
    def _one_way(self) -> "CompareRequest":
        shared = self.model_dump(exclude_none=True, exclude={"sides", "held_out"})
        if self.sides is None and (self.models is None or self.messages is None):
            raise PydanticCustomError("missing", "send `models` and `messages`, or `sides`")
        if self.sides is not None and shared:
            raise PydanticCustomError(
                "one_of",
                "with `sides`, `{name}` belongs into each of them",
                {"name": min(shared)},
            )
        return self

    def asked(self) -> list[SideRequest]:
        """What each side is asked."""
        if self.sides is not None:
            return self.sides
        shared = self.model_dump(exclude={"models", "messages", "sides", "held_out"})
        messages: list[Message] = self.messages or []
        return [
            SideRequest.model_construct(model=model, messages=messages, **shared)
            for model in self.models or []
        ]


class StopSide(Body):
    """Which side is to end."""

    side: int = Field(ge=0, le=3)


class Asked(Stored, total=False):
    """What a side was asked: a conversation and its sampling settings."""

    messages: list[MessageObject]
    max_tokens: int | None
    max_completion_tokens: int | None
    temperature: float | None
    top_p: float | None
    presence_penalty: float | None
    frequency_penalty: float | None
    stop: str | list[str] | None
    seed: int | None


class Usage(Stored, total=False):
    """As the engine counts tokens."""

    prompt_tokens: int | None
    completion_tokens: int | None
    total_tokens: int | None


class ComparisonSide(BaseModel):
    """A side as the server recorded it. `text` and later fields are set once the side has ended.

    Of a card that is not revealed yet, what would tell the model is null. An answer that an
    evaluation has stored has no deployment.
    """

    side: int
    model: str | None
    base_model: str | None
    deployment_id: str | None
    adapter: bool | None
    checkpoint_step: int | None
    weights_sha256: str | None
    device: str | None
    asked: Asked
    text: str | None = None
    finish_reason: str | None = None
    usage: Usage | None = None
    first_token_s: float | None = None
    tokens_per_s: float | None = None
    error: Error | None = None


class VoteEdit(BaseModel):
    """The answer of a side as it should have been."""

    side: int
    text: str


class ComparisonObject(BaseModel):
    """One comparison with its sides and its vote."""

    id: str
    object: Literal["comparison"] = "comparison"
    created_at: int
    ended: bool
    sides: list[ComparisonSide]
    held_out: HeldOut | None
    evaluation_id: str | None = Field(
        default=None, description="Of a card: the evaluation whose stored answers it shows."
    )
    revealed_at: int | None = Field(
        default=None, description="Of a card: when its voter was told the models."
    )
    choice: Choice | None
    reason: Reason | None = None
    note: str | None = None
    edit: VoteEdit | None = None
    voted_at: int | None
    voted_by: str | None = Field(default=None, description="The API key that voted.")
    voter: str | None = Field(default=None, description="The name of that key.")
    cut: bool = Field(default=False, description=CUT)

    @classmethod
    def from_record(cls, record: Comparison) -> "ComparisonObject":
        return cls(
            id=record.id,
            created_at=int(record.created_at.timestamp()),
            ended=record.ended_at is not None,
            sides=[_side(record, side) for side in record.sides],
            held_out=HeldOut.model_validate(record.held_out) if record.held_out else None,
            evaluation_id=record.evaluation_id,
            revealed_at=int(record.revealed_at.timestamp()) if record.revealed_at else None,
            choice=Choice(record.choice) if record.choice else None,
            reason=Reason(record.reason) if record.reason else None,
            note=record.note,
            edit=VoteEdit.model_validate(record.edit) if record.edit else None,
            voted_at=int(record.voted_at.timestamp()) if record.voted_at else None,
            voted_by=record.voted_by,
            voter=record.voter if record.voted_by else None,
        )


# What would tell the voter of a card which model gave an answer.
TELLING = ("model", "base_model", "deployment_id", "adapter", "checkpoint_step", "weights_sha256",
           "device")  # fmt: skip


def _side(record: Comparison, side: dict[str, Any]) -> ComparisonSide:
    hidden = dict.fromkeys(TELLING) if record.is_hidden else {}
    return ComparisonSide.model_validate(side | hidden)
