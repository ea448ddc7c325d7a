"""Tools in chats: definitions, calls and results, bounded, since all of them reach the template."""

import json
import math
from typing import Annotated, Any, Literal

from pydantic import AfterValidator, BeforeValidator, Field, JsonValue, WithJsonSchema
from pydantic_core import PydanticCustomError

from api.schemas.body import Body
from api.schemas.text import Text
from services.serving.tool_calls import is_deep, parsed

# As OpenAI's.
MAX_TOOLS = 128
MAX_CALLS = 128
NAME = r"^[a-zA-Z0-9_.-]{1,64}$"
MAX_DESCRIPTION = 16_384
# Of a tool's parameters as JSON. Templates and checks recurse into the value.
MAX_SCHEMA_CHARACTERS = 65_536
MAX_FIELDS = 1000
# A call may hold a whole file; the body's limit and the engine's context bound it further.
MAX_ARGUMENTS = 1_000_000
CHOICES: tuple[str | None, ...] = ("auto", "none", None)

FunctionName = Annotated[str, Field(pattern=NAME)]
CallId = Annotated[Text, Field(max_length=256)]


def _bounded(parameters: dict[str, Any]) -> dict[str, Any]:
    if is_deep(parameters):
        raise PydanticCustomError("too_deep", "it is nested more than 32 levels deep, flatten it")
    if len(json.dumps(parameters, ensure_ascii=False)) > MAX_SCHEMA_CHARACTERS:
        raise PydanticCustomError("too_long", "it has more than 65536 characters, shorten it")
    if not all(map(math.isfinite, _floats(parameters))):
        raise PydanticCustomError("not_finite", "it holds NaN or infinity, which JSON lacks")
    return parameters


def _floats(value: Any) -> list[float]:
    if isinstance(value, dict | list):
        inner = value.values() if isinstance(value, dict) else value
        return [number for each in inner for number in _floats(each)]
    return [value] if isinstance(value, float) else []


def _object(arguments: str) -> str:
    try:
        parsed(arguments)
    except ValueError:
        raise PydanticCustomError(
            "not_an_object",
            "send the arguments of a call as text that is a JSON object, at most 32 levels deep",
        ) from None
    return arguments


class FunctionCall(Body):
    """Which function is called, and with what: an object, as JSON in a text."""

    name: FunctionName
    arguments: Annotated[Text, Field(max_length=MAX_ARGUMENTS), AfterValidator(_object)]


class ToolCall(Body):
    """A call in an earlier answer of the model."""

    id: CallId
    type: Literal["function"]
    function: FunctionCall


class FunctionDefinition(Body):
    """What a function is called, what it does, and the JSON Schema of its arguments."""

    name: FunctionName
    description: Annotated[Text, Field(max_length=MAX_DESCRIPTION)] | None = None
    parameters: (
        Annotated[dict[str, JsonValue], Field(max_length=MAX_FIELDS), AfterValidator(_bounded)]
        | None
    ) = None
    strict: bool | None = Field(
        None, description="Shown to the model where it is sent; no answer is forced into a schema."
    )


class Tool(Body):
    """A function that the model may call."""

    type: Literal["function"]
    function: FunctionDefinition


def _unforced(choice: Any) -> Any:
    if choice not in CHOICES:
        raise PydanticCustomError(
            "not_served",
            "only `auto` and `none` are served here: a call is not forced, because the engine "
            "would compile a grammar of the request's schema",
        )
    return choice


ToolChoice = Annotated[
    Literal["auto", "none"] | None,
    BeforeValidator(_unforced),
    WithJsonSchema({"enum": list(CHOICES)}),
]


class TemplateSettings(Body):
    """Settings of the chat template. Others are refused: a template reads them as its variables."""

    enable_thinking: bool | None = Field(
        None, description="Whether a reasoning model thinks first, where its template has a switch."
    )
