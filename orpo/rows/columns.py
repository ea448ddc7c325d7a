"""Which keys of a row are read, which are harmless, and which would have to be read.

A key that would change what the model sees, and that no shape reads, refuses its row; every other
key that is not read becomes a remark. Knows keys; `row_shapes.py` knows what a row means.
"""

from collections.abc import Iterator
from typing import Any, NamedTuple

from orpo.rows.messages import (
    CHANGES,
    READ,
    STARTS,
    Message,
    Pair,
    Reject,
    json_type,
    spelled,
    text,
)

# Facts about a row that are not part of its text.
HARMLESS = frozenset(
    {
        "id", "idx", "index", "uuid", "line", "row_id", "prompt_id", "conversation_id",
        "source", "dataset", "dataset_name", "split", "license", "url",
        "lang", "language", "category", "topic", "tags", "meta", "metadata",
        "timestamp", "created_at", "annotator", "annotator_id",
        "model", "chosen_model", "rejected_model", "margin",
        "score", "score_chosen", "score_rejected", "chosen_score", "rejected_score",
        "rating", "chosen_rating", "rejected_rating",
    }
)  # fmt: skip
HARMLESS_IN_MESSAGES = frozenset({"id", "index", "weight"})
HARMLESS_IN_INPUT = frozenset({"tools", "parallel_tool_calls"})  # `tools` is empty here
HARMLESS_IN_PARTS = frozenset({"type", "text", "cache_control"})
SYSTEM = ("system", "system_prompt")
TOOLS = ("tools", "functions")
# Text that belongs to the prompt, unless the conversation holds it already.
CONTEXT = frozenset(
    {"instruction", "input", "question", "query", "context", "history", "passage", "document"}
)
# More keys than this are not listed one by one: a file could have a million.
KEPT = 100
KEY = 80  # characters of a key that are shown


class Remark(NamedTuple):
    """Something about an accepted row that its owner should know: a `code`, and the key's path."""

    code: str
    key: str


def system_of(value: dict[str, Any], prompt: list[Message]) -> list[Message]:
    """The prompt with the row's own `system` text as its first message.

    Raises `Reject` if the conversation begins with another system message.
    """
    for key in SYSTEM:
        if not value.get(key):
            continue
        content = text(value[key], key)
        if not prompt or prompt[0]["role"] != "system":
            prompt = [Message(role="system", content=content), *prompt]
        elif prompt[0]["content"].strip() != content.strip():
            raise Reject(
                "not_a_pair",
                f"{key} differs from the system message of the conversation; keep one.",
            )
    return prompt


def unread(
    value: dict[str, Any], read: frozenset[str], conversations: tuple[str, ...], pair: Pair
) -> set[Remark]:
    """Remarks on the keys of a row that are not read: `read` are its shape's, `conversations`
    those that hold messages.

    Raises `Reject` if such a key holds something that the model should see.
    """
    found: set[Remark] = set()
    for key in value.keys() - read:
        held = value[key]
        if not held:
            continue
        if key in TOOLS:
            raise Reject("not_a_pair", f"{key} is not empty; tools are not trained. Remove them.")
        if key in CHANGES:
            raise Reject("not_a_pair", f"{key} holds {CHANGES[key]}.")
        if key == "messages" or key in CONTEXT:
            _require_known(key, held, pair)
            found |= set(_in_messages(held, key))
        elif key not in HARMLESS and key not in SYSTEM:
            found.add(Remark("unused_key", f"{key:.{KEY}}"))
    for path in conversations:
        outer, _, key = path.rpartition(".")
        holder = value
        if outer:
            holder = value[outer]
            others = holder.keys() - {key} - HARMLESS_IN_INPUT
            found |= {Remark("unused_key", f"{outer}.{other:.{KEY}}") for other in others}
        held = holder.get(key)
        if not isinstance(held, str) or held.startswith(STARTS):
            found.update(_in_messages(held, path))
    return found


def _require_known(key: str, held: Any, pair: Pair) -> None:
    """Raise `Reject` unless the conversation holds these texts already."""
    rows = held if isinstance(held, list) else [held]
    turns = [*pair.prompt, *pair.chosen, *(pair.rejected or ())]
    whole = "\n".join(turn["content"] for turn in turns)
    for row in rows:
        content = row.get("content", row.get("value")) if isinstance(row, dict) else row
        if not isinstance(content, str):
            raise Reject("not_a_pair", f"{key} holds {json_type(content)}, which is not read.")
        if content.strip() not in whole:
            raise Reject(
                "not_a_pair",
                f"{key} holds text that is not read: put it into the prompt, or remove it.",
            )


def _in_messages(value: Any, name: str) -> Iterator[Remark]:
    """Remarks on the keys of messages: text, one message, or a list that may hold lists."""
    if isinstance(value, list):
        for each in value:
            yield from _in_messages(each, name)
    elif isinstance(value, dict):
        yield from _in_message(value, name)
    elif isinstance(value, str) and spelled(value, name):
        yield Remark("spelled_messages", name)


def _in_message(value: dict[str, Any], name: str) -> Iterator[Remark]:
    if len(value) > len(("role", "content")):
        for key in value.keys() - READ - HARMLESS_IN_MESSAGES:
            if value[key]:
                yield Remark("unused_key", f"{name}[].{key:.{KEY}}")
    parts = value.get("content", value.get("value"))
    for part in parts if isinstance(parts, list) else ():
        for key in part.keys() - HARMLESS_IN_PARTS:
            yield Remark("unused_key", f"{name}[].content[].{key:.{KEY}}")
