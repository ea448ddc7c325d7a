"""Media types of answers that are not JSON, for the OpenAPI document."""

from typing import Any

Responses = dict[int | str, dict[str, Any]]


# A frame of a stream; `data` is JSON, or `[DONE]` at the end of a stream without an error.
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
