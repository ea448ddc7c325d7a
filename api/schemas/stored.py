"""Objects that the database keeps as JSON, as they are on the wire."""

from pydantic import ConfigDict
from typing_extensions import TypedDict


class Stored(TypedDict, total=False):
    """An object that is answered with as it was stored, whatever release has stored it.

    Its fields are what this release writes. What an older one did not write is left out of the
    answer, and what another one wrote beside them passes: neither makes an answer fail.
    """

    __pydantic_config__ = ConfigDict(extra="allow")  # pyright: ignore[reportGeneralTypeIssues]


class MessageObject(TypedDict):
    """A message of a conversation."""

    __pydantic_config__ = ConfigDict(extra="allow")  # pyright: ignore[reportGeneralTypeIssues]

    role: str
    content: str
