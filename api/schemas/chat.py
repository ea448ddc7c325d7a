"""Chat requests: an allow-list. What isn't named here never reaches an engine.

Left out on purpose: `chat_template`, its free settings and media (known ways to stall an engine or
make it fetch addresses), grammars for answers, and large `n` and `top_logprobs`.
"""

from typing import Annotated, Any, Literal

from pydantic import (
    AfterValidator,
    BaseModel,
    BeforeValidator,
    ConfigDict,
    Field,
    ValidationInfo,
    WithJsonSchema,
    model_validator,
)
from pydantic.config import JsonDict
from pydantic_core import PydanticCustomError

from api.schemas.body import Body
from api.schemas.text import NO_NUL, Id, Text
from api.schemas.tools import (
    MAX_CALLS,
    MAX_TOOLS,
    CallId,
    TemplateSettings,
    Tool,
    ToolCall,
    ToolChoice,
)

# More characters than any context holds; the engine counts the tokens.
MAX_CHARACTERS = 4_000_000
MAX_PARTS = 1000


def _text(content: Any, info: ValidationInfo) -> Any:
    """Accept a string, or OpenAI's list of parts where all of them are text.

    An answer that only calls tools has no content: its text is empty.
    """
    if content is None and info.data.get("role") == "assistant" and info.data.get("tool_calls"):
        return ""
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


TEXT: JsonDict = {"type": "string", "maxLength": MAX_CHARACTERS, "pattern": NO_NUL}
PART: JsonDict = {
    "type": "object",
    "required": ["type", "text"],
    "properties": {"type": {"const": "text"}, "text": TEXT},
}
PARTS: JsonDict = {"type": "array", "items": PART, "maxItems": MAX_PARTS}
CONTENT: JsonDict = {"anyOf": [TEXT, PARTS]}
# Which roles have which of the fields beside `content`. Each is sent to the engine unless empty.
FIELDS = {
    "tool_calls": ("assistant",),
    "reasoning_content": ("assistant",),
    "tool_call_id": ("tool",),
    "name": ("system", "user", "assistant", "tool"),
}
NO_LIST: JsonDict = {"enum": [None, []]}
NO_TEXT: JsonDict = {"enum": [None, ""]}
# The rules between the fields of a message, for the document.
VARIANTS: list[JsonDict] = [
    {
        "required": ["content"],
        "properties": {
            "role": {"enum": ["system", "user"]},
            "content": CONTENT,
            "tool_calls": NO_LIST,
            "reasoning_content": NO_TEXT,
            "tool_call_id": NO_TEXT,
        },
    },
    {
        "required": ["content"],
        "properties": {
            "role": {"const": "assistant"},
            "content": CONTENT,
            "tool_call_id": NO_TEXT,
        },
    },
    {
        "required": ["tool_calls"],
        "properties": {
            "role": {"const": "assistant"},
            "tool_calls": {"type": "array", "minItems": 1},
            "tool_call_id": NO_TEXT,
        },
    },
    {
        "required": ["content"],
        "properties": {
            "role": {"const": "tool"},
            "content": CONTENT,
            "tool_calls": NO_LIST,
            "reasoning_content": NO_TEXT,
        },
    },
]


def _document(schema: JsonDict) -> None:
    schema["additionalProperties"] = {"enum": [None, False, 0, "", [], {}]}
    schema["anyOf"] = [*VARIANTS]


class Message(Body):
    """A message of a request: text, tool calls, or the result of one. All other fields must be
    empty.
    """

    # Clients send an answer back as it came, with empty fields (`refusal`, `function_call`).
    model_config = ConfigDict(extra="allow", json_schema_extra=_document)

    role: Literal["system", "user", "assistant", "tool"]
    tool_calls: list[ToolCall] | None = Field(None, max_length=MAX_CALLS)
    tool_call_id: CallId | None = Field(None, description="Which call this is the result of.")
    name: Annotated[Text, Field(max_length=64)] | None = None
    reasoning_content: Annotated[Text, Field(max_length=MAX_CHARACTERS)] | None = Field(
        None, description="The thoughts of an earlier answer. Most templates show few of them."
    )
    # The last field: whether it may be missing depends on the others.
    content: Annotated[
        Text,
        BeforeValidator(_text),
        Field(max_length=MAX_CHARACTERS),
        WithJsonSchema({"anyOf": [TEXT, PARTS, {"type": "null"}]}),
    ] = Field(None, validate_default=True)  # pyright: ignore[reportAssignmentType]

    @model_validator(mode="after")
    def _holds_what_is_served(self) -> "Message":
        used = [name for name, value in (self.model_extra or {}).items() if value]
        theirs = [name for name, roles in FIELDS.items() if self.role not in roles]
        used += [name for name in theirs if getattr(self, name)]
        if used:
            raise PydanticCustomError(
                "not_served",
                "`{name}` is not served here in a message of this role, remove it",
                {"name": used[0]},
            )
        (self.model_extra or {}).clear()  # their names may be texts that can't be stored
        return self

    def spoken(self) -> dict[str, Any]:
        """The message for an engine, without what is empty."""
        said = {"role": self.role, "content": self.content}
        return said | {
            name: value for name, value in self.model_dump(include=set(FIELDS)).items() if value
        }

    def characters(self) -> int:
        """About how many characters reach the template."""
        calls = [(call.function.name, call.function.arguments) for call in self.tool_calls or ()]
        return (
            len(self.content)
            + len(self.reasoning_content or "")
            + sum(len(name) + len(arguments) for name, arguments in calls)
        )


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
    # What every reader of JSON keeps exactly (RFC 8259, section 6).
    seed: int | None = Field(None, gt=-(2**53), lt=2**53)


class StreamOptions(Body):
    """OpenAI's options of a stream."""

    include_usage: bool = False


class ChatRequest(Sampling):
    """OpenAI's request for a chat completion, as far as it is served."""

    model: Id
    messages: Messages
    tools: list[Tool] | None = Field(None, max_length=MAX_TOOLS)
    tool_choice: ToolChoice = None
    parallel_tool_calls: bool | None = None
    chat_template_kwargs: TemplateSettings | None = None
    n: int | None = Field(None, ge=1, le=4)
    logprobs: bool | None = None
    top_logprobs: int | None = Field(None, ge=0, le=20)
    stream: bool | None = None
    stream_options: StreamOptions | None = None
    user: str | None = Field(None, max_length=512, description="Accepted and ignored.")

    def upstream(self, model: str) -> dict[str, Any]:
        """The body for the engine, under the model's name there."""
        body = upstream_body(self, model, self.messages)
        if self.tools:
            # As they were sent: a null within the parameters has a meaning.
            body["tools"] = [tool.model_dump(exclude_unset=True) for tool in self.tools]
        # Engines refuse these without tools, and an empty object says nothing.
        unused = () if self.tools else ("tools", "tool_choice", "parallel_tool_calls")
        empty = () if body.get("chat_template_kwargs") else ("chat_template_kwargs",)
        return {name: value for name, value in body.items() if name not in (*unused, *empty)}

    def characters(self) -> int:
        """About how many characters reach the template."""
        tools = sum(len(tool.model_dump_json()) for tool in self.tools or ())
        return tools + sum(message.characters() for message in self.messages)


def upstream_body(request: BaseModel, model: str, messages: list[Message]) -> dict[str, Any]:
    """Return the body for an engine: the request without the fields that are only for this API."""
    fields = request.model_dump(exclude_none=True, exclude={"model", "models", "messages", "user"})
    return fields | {"model": model, "messages": [message.spoken() for message in messages]}
