"""Which keys of a row are read, which are harmless, and which would have to be read.

A key that would change what the model sees, and that no shape reads, refuses its row; every other
key that is not read becomes a remark. Knows keys; `row_shapes.py` knows what a row means.
"""

from collections.abc import Iterator
from typing import Any, NamedTuple

from orpo.rows.messages import (
    READ,
    STARTS,
    Message,
    Pair,
    Reject,
    json_type,
    messages,
    refuse_change,
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
HARMLESS_IN_INPUT = frozenset({"parallel_tool_calls"})
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
LONG = 20  # characters that a prompt does not hold by chance


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
        if content.isspace():
            continue
        if prompt[0]["role"] != "system":
            prompt = [Message(role="system", content=content), *prompt]
        elif prompt[0]["content"].strip() != content.strip():
            raise Reject(
                "not_a_pair",
                f"{key} differs from the system message of the conversation; keep one.",
            )
    return prompt


def unread(
    value: dict[str, Any], read: frozenset[str], conversations: tuple[str, ...], pair: Pair
) -> list[Remark]:
    """Remarks on the keys of a row that are not read, in the row's order: `read` are its shape's,
    `conversations` those that hold messages.

    Raises `Reject` if such a key holds something that the model should see.
    """
    found: dict[Remark, None] = {}
    for key, held in value.items():
        if key in read or not held:
            continue
        refuse_tools("", key)
        refuse_change("", key, held)
        if key == "messages":
            _require_turns(key, held, pair)
            found |= dict.fromkeys(_in_messages(held, key))
        elif key in CONTEXT:
            _require_in_prompt(key, held, pair)
        elif key not in HARMLESS and key not in SYSTEM:
            found[Remark("unused_key", f"{key:.{KEY}}")] = None
    for path in conversations:
        outer, _, key = path.rpartition(".")
        holder = value
        if outer:
            holder = value[outer]
            found |= dict.fromkeys(_beside(holder, outer, key))
        held = holder.get(key)
        if not isinstance(held, str) or held.startswith(STARTS):
            found |= dict.fromkeys(_in_messages(held, path))
    return list(found)


def refuse_tools(place: str, key: str) -> None:
    """Raise `Reject` if a key that is not empty holds tools; `place` stands before it."""
    if key in TOOLS:
        raise Reject(
            "not_a_pair", f"{place}{key} is not empty; tools are not trained. Remove them."
        )


def _beside(holder: dict[str, Any], outer: str, read: str) -> Iterator[Remark]:
    """Remarks on the keys of OpenAI's `input` beside its messages."""
    for key, held in holder.items():
        if key == read or not held or key in HARMLESS_IN_INPUT:
            continue
        refuse_tools(f"{outer}.", key)
        refuse_change(f"{outer}.", key, held)
        yield Remark("unused_key", f"{outer}.{key:.{KEY}}")


def _require_turns(key: str, held: Any, pair: Pair) -> None:
    """Raise `Reject` unless each of these messages is a turn of the conversation."""
    turns = (*pair.prompt, *pair.chosen, *(pair.rejected or ()))
    known = {turn["content"].strip() for turn in turns}
    if any(turn["content"].strip() not in known for turn in messages(held, key, "user")):
        raise Reject(
            "not_a_pair", f"{key} holds turns that are in neither the prompt nor the answers."
        )


def _require_in_prompt(key: str, held: Any, pair: Pair) -> None:
    """Raise `Reject` unless the prompt holds this text already: as lines of its own, or within a
    line if it is too long to be there by chance.
    """
    if not isinstance(held, str):
        raise Reject("not_a_pair", f"{key} holds {json_type(held)}, which is not read.")
    prompt = "\n".join(turn["content"] for turn in pair.prompt)
    sought = held.strip()
    is_long = len(sought) >= LONG and sought in prompt
    if not is_long and f"\n{sought}\n" not in f"\n{prompt.strip()}\n":
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
        for key, held in value.items():
            is_excluded = key == "weight" and held == 0
            if is_excluded or (held and key not in READ and key not in HARMLESS_IN_MESSAGES):
                yield Remark("unused_key", f"{name}[].{key:.{KEY}}")
    parts = value.get("content", value.get("value"))
    for part in parts if isinstance(parts, list) else ():
        for key in part if isinstance(part, dict) else ():
            if key not in HARMLESS_IN_PARTS:
                yield Remark("unused_key", f"{name}[].content[].{key:.{KEY}}")
