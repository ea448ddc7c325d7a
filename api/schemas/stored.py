"""Objects that the database keeps as JSON, as they are on the wire."""

from typing import Any

from pydantic import BaseModel, ConfigDict, SerializerFunctionWrapHandler, model_serializer


class Stored(BaseModel):
    """An object that is answered with as it was stored, whatever release has stored it.

    Its fields are what this release writes. What an older one did not write is left out of the
    answer, and what another one wrote beside them passes: neither makes an answer fail.
    """

    model_config = ConfigDict(extra="allow")

    @model_serializer(mode="wrap")
    def _as_stored(self, serialize: SerializerFunctionWrapHandler):
        # A named type here would take the place of the fields in the OpenAPI document.
        shown: dict[str, Any] = serialize(self)
        return {name: value for name, value in shown.items() if name in self.model_fields_set}


class MessageObject(Stored):
    """A message of a conversation."""

    role: str
    content: str
