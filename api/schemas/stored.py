"""Objects that the database keeps as JSON, as they are on the wire."""

from typing import NotRequired

from pydantic import ConfigDict, JsonValue
from typing_extensions import TypedDict


class Stored(TypedDict, total=False):
    """An object that is returned as it was stored, whatever release stored it.

    Its fields are those that this release writes. A field that an older release did not write is
    left out of the answer, and further fields of another release are passed on. Neither makes an
    answer fail.
    """

    __pydantic_config__ = ConfigDict(extra="allow")  # pyright: ignore[reportGeneralTypeIssues]


class FunctionObject(TypedDict):
    """A function's name and arguments: an object, or text that is no JSON object."""

    name: str
    arguments: dict[str, JsonValue] | str


class ToolCallObject(TypedDict):
    """A tool call of an assistant message."""

    id: NotRequired[str]
    type: str
    function: FunctionObject


class MessageObject(TypedDict):
    """A message of a conversation; keys that it does not need are absent."""

    __pydantic_config__ = ConfigDict(extra="allow")  # pyright: ignore[reportGeneralTypeIssues]

    role: str
    content: str
    tool_calls: NotRequired[list[ToolCallObject]]
    tool_call_id: NotRequired[str]
    name: NotRequired[str]
    reasoning_content: NotRequired[str]
    weight: NotRequired[int]
