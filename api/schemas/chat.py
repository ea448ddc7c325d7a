"""Chat requests: an allow-list. What isn't named here never reaches an engine.

Left out on purpose: `chat_template*` and media (known ways to stall an engine or make it fetch
addresses), and large `n` and `top_logprobs`.
"""

from typing import Annotated, Any, Literal

from pydantic import (
    AfterValidator,
    BaseModel,
    BeforeValidator,
    ConfigDict,
    Field,
    WithJsonSchema,
    model_validator,
)
from pydantic_core import PydanticCustomError

from api.schemas.body import Body
from api.schemas.text import NO_NUL, Id, Text

# More characters than any context holds; the engine counts the tokens.
MAX_CHARACTERS = 4_000_000
MAX_PARTS = 1000


def _text(content: Any) -> Any:
    """Accept a string, or OpenAI's list of parts where all of them are text."""
    if not isinstance(content, list):
        return content
    if len(content) > MAX_PARTS:
        raise PydanticCustomError(
            "too_long", "send at most 1000 parts, joined where there are more"
        )
    if not all(isinstance(part, dict) and part.get("type") == "text" for part in content):
        raise PydanticCustomError(
            "text_only", "only text is served here: send a string, or parts of type `text`"
        )
    return "".join(str(part.get("text", "")) for part in content)


TEXT = {"type": "string", "maxLength": MAX_CHARACTERS, "pattern": NO_NUL}
PART = {
    "type": "object",
    "required": ["type", "text"],
    "properties": {"type": {"const": "text"}, "text": TEXT},
}
CONTENT = {
    "anyOf": [
        TEXT,
        {"type": "array", "items": PART, "maxItems": MAX_PARTS},
    ]
}


class Message(Body):
    """A message of a request: text only. Fields that are not served must be empty."""

    # Clients send an answer back as it came, with empty fields (`refusal`, `tool_calls`).
    model_config = ConfigDict(
        extra="allow",
        json_schema_extra={"additionalProperties": {"enum": [None, False, 0, "", [], {}]}},
    )

    role: Literal["system", "user", "assistant"]
    content: Annotated[
        Text,
        BeforeValidator(_text),
        Field(max_length=MAX_CHARACTERS),
        WithJsonSchema(CONTENT),
    ]

    @model_validator(mode="after")
    def _holds_text_only(self) -> "Message":
        used = [name for name, value in (self.model_extra or {}).items() if value]
        if used:
            raise PydanticCustomError(
                "not_served", "`{name}` is not served here, remove it", {"name": used[0]}
            )
        (self.model_extra or {}).clear()  # their names may be texts that can't be stored
        return self


def _few_stops(stop: str | list[str]) -> str | list[str]:
    if isinstance(stop, list) and len(stop) > 4:
        raise PydanticCustomError("too_long", "at most 4 stop sequences are allowed")
    return stop


StopText = Annotated[Text, Field(min_length=1, max_length=256)]
ONE_STOP = {"type": "string", "minLength": 1, "maxLength": 256, "pattern": NO_NUL}
STOP = {"anyOf": [ONE_STOP, {"type": "array", "items": ONE_STOP, "maxItems": 4}, {"type": "null"}]}
Messages = Annotated[list[Message], Field(min_length=1, max_length=1000)]


class Sampling(Body):
    """How an answer is sampled; the same for one model and for several side by side."""

    max_tokens: int | None = Field(None, ge=1)
    max_completion_tokens: int | None = Field(None, ge=1)
    temperature: float | None = Field(None, ge=0, le=2)
    top_p: float | None = Field(None, gt=0, le=1)
    presence_penalty: float | None = Field(None, ge=-2, le=2)
    frequency_penalty: float | None = Field(None, ge=-2, le=2)
    stop: Annotated[
        StopText | list[StopText] | None, AfterValidator(_few_stops), WithJsonSchema(STOP)
    ] = None
    seed: int | None = Field(None, ge=-(2**63), lt=2**63)


class StreamOptions(Body):
    """OpenAI's options of a stream."""

    include_usage: bool = False


class ChatRequest(Sampling):
    """OpenAI's request for a chat completion, as far as it is served."""

    model: Id
    messages: Messages
    n: int | None = Field(None, ge=1, le=4)
    logprobs: bool | None = None
    top_logprobs: int | None = Field(None, ge=0, le=20)
    stream: bool | None = None
    stream_options: StreamOptions | None = None
    user: str | None = Field(None, max_length=512, description="Accepted and ignored.")

    def upstream(self, model: str) -> dict[str, Any]:
        """The body for the engine, under the model's name there."""
        return upstream_body(self, model, self.messages)


def upstream_body(request: BaseModel, model: str, messages: list[Message]) -> dict[str, Any]:
    """Return the body for an engine: the request without the fields that are only for this API."""
    fields = request.model_dump(exclude_none=True, exclude={"model", "models", "messages", "user"})
    spoken = [{"role": message.role, "content": message.content} for message in messages]
    return fields | {"model": model, "messages": spoken}
