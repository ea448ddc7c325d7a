"""Comparisons: several models answer the same messages."""

from typing import Annotated, Any

from pydantic import Field

from api.schemas.chat import Messages, Sampling, upstream_body

ModelId = Annotated[str, Field(min_length=1, max_length=512)]


class CompareRequest(Sampling):
    models: list[ModelId] = Field(min_length=2, max_length=4)
    messages: Messages

    def upstream(self, model: str) -> dict[str, Any]:
        """The body for one side's engine: a stream that ends with its usage."""
        body = upstream_body(self, model, self.messages)
        return body | {"stream": True, "stream_options": {"include_usage": True}}
