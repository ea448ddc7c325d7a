"""Objects that the database keeps as JSON, as they are on the wire."""

from pydantic import ConfigDict
from typing_extensions import TypedDict


class Stored(TypedDict, total=False):
    """An object that is returned as it was stored, whatever release stored it.

    Its fields are those that this release writes. A field that an older release did not write is
    left out of the answer, and further fields of another release are passed on. Neither makes an
    answer fail.
    """

    __pydantic_config__ = ConfigDict(extra="allow")  # pyright: ignore[reportGeneralTypeIssues]


class MessageObject(TypedDict):
    """A message of a conversation."""

    __pydantic_config__ = ConfigDict(extra="allow")  # pyright: ignore[reportGeneralTypeIssues]

    role: str
    content: str
