"""Which keys of a row are read, which are harmless, and which would have to be read.

A key that would change what the model sees, and that no shape reads, refuses its row; every other
key that is not read becomes a remark. Knows keys; `row_shapes.py` knows what a row means.
"""

from collections.abc import Iterator
from typing import Any, NamedTuple

import orjson

from orpo.rows.messages import (
    READ,
    SPELLED_CALLS,
    STARTS,
    Message,
    Pair,
    messages,
    refuse_change,
    role_of,
    spelled,
    text_of_part,
)
from orpo.rows.tools import definitions, unread_of_calls, unread_of_tools
from orpo.rows.values import Reject, json_type, text

# Facts about a row that are not part of its text.
HARMLESS = frozenset(
    {
        "id", "idx", "index", "uuid", "line", "row_id", "prompt_id", "conversation_id",
        "source", "dataset", "dataset_name", "split", "license", "url",
        "lang", "language", "category", "topic", "tags", "meta", "metadata",
        "timestamp", "created_at", "annotator", "annotator_id",
        "model", "chosen_model", "rejected_model", "margin",
        "score", "score_chosen", "score_rejected", "chosen_score", "rejected_score",
        "rating", "chosen_rating", "rejected_rating", "parallel_tool_calls",
    }
)  # fmt: skip
HARMLESS_IN_MESSAGES = frozenset({"id", "index", "weight"})
HARMLESS_IN_INPUT = frozenset({"parallel_tool_calls"})
HARMLESS_IN_PARTS = frozenset({"type", "cache_control", "signature"})
SYSTEM = ("system", "system_prompt")
TOOLS = ("tools", "functions")
HOLD_TOOLS = (*TOOLS, "input")
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


def tools_of(value: dict[str, Any]) -> list[dict[str, Any]] | None:
    """The tool definitions of a row or of OpenAI's `input`; None if it has none.

    Raises `Reject` if they can't be read with certainty, or stand there twice and differ.
    """
    if value.keys().isdisjoint(HOLD_TOOLS):  # most rows
        return None
    held = value.get("input")
    inner = held if isinstance(held, dict) else {}
    found = [
        definitions(holder[key], f"{place}{key}")
        for holder, place in ((value, ""), (inner, "input."))
        for key in TOOLS
        if holder.get(key)
    ]
    found = [tools for tools in found if tools]
    if any(tools != found[0] for tools in found):
        raise Reject("not_a_pair", "The row has two lists of tools that differ; keep one.")
    return found[0] if found else None


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
        refuse_change("", key, held)
        if key in TOOLS:
            found |= dict.fromkeys(_in_tools(held, key))
        elif key == "messages":
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


def _in_tools(held: Any, name: str) -> Iterator[Remark]:
    for path in unread_of_tools(held, name):
        yield Remark("unused_key", _short(path))


def _beside(holder: dict[str, Any], outer: str, read: str) -> Iterator[Remark]:
    """Remarks on the keys of OpenAI's `input` beside its messages."""
    for key, held in holder.items():
        if key == read or not held or key in HARMLESS_IN_INPUT:
            continue
        if key in TOOLS:
            yield from _in_tools(held, f"{outer}.{key}")
            continue
        refuse_change(f"{outer}.", key, held)
        yield Remark("unused_key", f"{outer}.{key:.{KEY}}")


def _short(path: str) -> str:
    """A path with the key at its end cut to `KEY` characters; the brackets before it are ours."""
    place, mark, key = path.partition("[].")
    inner = key.removeprefix("function.")
    return f"{place}{mark}{key[: len(key) - len(inner)]}{inner:.{KEY}}"


def _require_turns(key: str, held: Any, pair: Pair) -> None:
    """Raise `Reject` unless each of these messages is a turn of the conversation."""
    turns = (*pair.prompt, *pair.chosen, *(pair.rejected or ()))
    known = {_said(turn) for turn in turns}
    if any(_said(turn) not in known for turn in messages(held, key, "user")):
        raise Reject(
            "not_a_pair", f"{key} holds turns that are in neither the prompt nor the answers."
        )


def _said(turn: Message) -> tuple[str, bytes, str]:
    """What a turn says, without its role."""
    called = orjson.dumps(turn.get("tool_calls"))
    return turn["content"].strip(), called, turn.get("reasoning_content", "")


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
        # A tool's name belongs to its result. Templates rarely show the names of people.
        read = READ | {"name"} if role_of(value) == "tool" else READ
        for key, held in value.items():
            if held and key not in read and key not in HARMLESS_IN_MESSAGES:
                yield Remark("unused_key", f"{name}[].{key:.{KEY}}")
        for key in ("tool_calls", "function_call"):
            yield from _in_calls(value.get(key), f"{name}[].{key}")
    parts = value.get("content", value.get("value"))
    if value.get("role", value.get("from")) in SPELLED_CALLS:
        yield from _in_calls(parts, f"{name}[]")
    for part in parts if isinstance(parts, list) else ():
        read = text_of_part(part) if isinstance(part, dict) else ""
        for key in part if isinstance(part, dict) else ():
            if key != read and key not in HARMLESS_IN_PARTS:
                yield Remark("unused_key", f"{name}[].content[].{key:.{KEY}}")


def _in_calls(held: Any, name: str) -> Iterator[Remark]:
    for path in unread_of_calls(held, name) if held else ():
        yield Remark("unused_key", path)
