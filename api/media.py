"""Answers that are no JSON, as the OpenAPI document names their content."""

from typing import Any

Responses = dict[int | str, dict[str, Any]]


# A frame of a stream; `data` is JSON, or `[DONE]` at a true end.
EVENT = {
    "type": "object",
    "required": ["data"],
    "properties": {name: {"type": "string"} for name in ("id", "event", "data")},
}


def content(*kinds: str, schema: dict[str, Any] | None = None) -> Responses:
    """The successful answer has one of these media types."""
    return {200: {"content": {kind: {"schema": schema or {"type": "string"}} for kind in kinds}}}


EVENTS = content("text/event-stream", schema=EVENT)
BYTES = content("application/octet-stream")
WEIGHTS = content("application/x-tar", "application/octet-stream")
METRICS = content("text/plain")
# A chat's answer is the engine's own object, or a stream of its pieces.
CHAT: Responses = {
    200: {"content": {"application/json": {"schema": {"type": "object"}}} | EVENTS[200]["content"]}
}
