"""Converts one preference row, in any accepted shape, to a pair in its normal form.

Knows JSON values, not files. A row that fits no shape, or two shapes, is rejected; the code never
guesses.
"""

import math
import re
from collections.abc import Callable
from dataclasses import replace
from enum import StrEnum
from typing import Any, NamedTuple

from orpo.rows.alpaca import is_alpaca, read_alpaca
from orpo.rows.columns import Remark, system_of, tools_of, unread
from orpo.rows.messages import (
    ROLES,
    Message,
    Pair,
    Reject,
    answer,
    json_type,
    messages,
    origin_of,
    role_of,
    text,
)
from orpo.rows.thumbs import is_thumb, read_thumb

HH_MARKER = re.compile(r"\n\n(Human|Assistant):")


class Shape(StrEnum):
    """The accepted shapes of a row, by the names that reports show."""

    EXPLICIT = "explicit"
    OPENAI = "openai"
    IMPLICIT = "implicit"
    HH_RLHF = "hh_rlhf"
    SHAREGPT = "sharegpt"
    RANKED = "ranked"
    MESSAGES = "messages"
    SWIFT = "ms_swift"
    ALPACA = "alpaca"
    THUMBS = "thumbs"

    # An enum's own hash is a Python call, and each row needs it twice.
    __hash__ = str.__hash__


def detect(value: Any) -> Shape | None:
    """The shape of a row by its keys and their types, or None if no shape or two shapes fit."""
    if not isinstance(value, dict):
        return None
    families = _families(value)
    if len(families) != 1:
        return None
    shape = families[0]
    if shape is not Shape.EXPLICIT:
        return shape
    name, chosen = _prompt_name(value), value["chosen"]
    prompt = value[name] if name else None
    if _is_transcript(prompt) or _is_transcript(chosen):
        return Shape.HH_RLHF
    if prompt is not None:
        return Shape.EXPLICIT
    return Shape.IMPLICIT if isinstance(chosen, list) else None


def _prompt_name(value: dict[str, Any]) -> str | None:
    """The key that holds the prompt: `messages` does if it does not end with an answer."""
    for key in ("prompt", "question"):
        if value.get(key) is not None:
            return key
    turns = value.get("messages")
    last = turns[-1] if isinstance(turns, list) and turns else None
    is_answer = not isinstance(last, dict) or role_of(last) == "assistant"
    return None if is_answer else "messages"


def _is_transcript(value: Any) -> bool:
    return isinstance(value, str) and value.startswith("\n\nHuman:")


def _families(value: dict[str, Any]) -> list[Shape]:
    keys = value.keys()
    found = []
    if "preferred_output" in keys or "non_preferred_output" in keys:
        found.append(Shape.OPENAI)
    if "chosen" in keys and "rejected" in keys:
        found.append(Shape.SHAREGPT if "conversations" in keys else Shape.EXPLICIT)
    if "responses" in keys:
        found.append(Shape.RANKED)
    # Published pair sets have a `messages` column beside their pairs, so it decides only if it is
    # alone.
    if not found and "messages" in keys and "chosen" not in keys and "rejected" not in keys:
        pairs = "rejected_response" in keys or "rejected_messages" in keys
        found.append(Shape.SWIFT if pairs else Shape.MESSAGES)
    if "instruction" in keys and found in ([], [Shape.EXPLICIT]) and is_alpaca(value):
        return [Shape.ALPACA]
    if ("label" in keys or "rating" in keys) and found != [Shape.EXPLICIT] and is_thumb(value):
        return [Shape.THUMBS]
    return found


def why_no_shape(value: Any) -> str:
    """A sentence on a row that `detect` refused: what is missing, and what was seen instead."""
    if not isinstance(value, dict):
        return f"A row is a JSON object, this one is {json_type(value)}."
    seen = ", ".join(f"{key:.40}" for key in sorted(map(str, value))[:12]) or "none"
    found = _families(value)
    if len(found) > 1:
        return f"The keys fit {' and '.join(found)} at once; keep those of one shape. Seen: {seen}."
    missing = [key for key in ("prompt", "chosen", "rejected") if key not in value]
    what = ", ".join(missing) or "messages in chosen and rejected"
    return f"Not a preference pair: {what} missing. Keys seen: {seen}."


def parse(value: dict[str, Any], shape: Shape, line: int) -> Pair:
    """Bring a row of a known shape to its normal form; raises `Reject` with a code and a reason."""
    return read(value, shape, line)[0]


def read(value: dict[str, Any], shape: Shape, line: int) -> tuple[Pair, list[Remark]]:
    """`parse`, and remarks on what the row holds beside its pair."""
    form = _FORMS[shape]
    prompt, chosen, rejected = form.parse(value)
    origin = origin_of(value)
    pair = _checked(Pair(line, prompt, chosen, rejected, tools_of(value), origin))
    whole = system_of(value, prompt)
    if whole is not prompt:  # most rows have no system text of their own
        pair = replace(pair, prompt=whole)
    keys, conversations = form.keys | ({"from"} if origin else set()), form.conversations
    if shape is Shape.EXPLICIT and (name := _prompt_name(value)) != "prompt":
        keys, conversations = keys | {str(name)}, (*conversations, str(name))
    return pair, unread(value, keys, conversations, pair)


Conversation = tuple[list[Message], list[Message], list[Message] | None]


def _explicit(value: dict[str, Any]) -> Conversation:
    chosen = answer(value["chosen"], "chosen")
    rejected = answer(value["rejected"], "rejected")
    name = _prompt_name(value) or "prompt"
    given = value.get(name)
    prompt = messages(given, name, "user")
    if isinstance(given, str) and chosen[0]["role"] != "assistant":
        # The prompt as text, with whole conversations in both answers, as in UltraFeedback.
        shared, chosen_tail, rejected_tail = _split(chosen, rejected)
        if any(turn["content"].strip() == given.strip() for turn in shared):
            return shared, chosen_tail, rejected_tail
    return prompt, _without(prompt, chosen, "chosen"), _without(prompt, rejected, "rejected")


def _without(prompt: list[Message], answer: list[Message], name: str) -> list[Message]:
    """`answer` without the prompt, if it was given as the whole conversation."""
    if _are_same(answer[: len(prompt)], prompt):
        return answer[len(prompt) :]
    if answer[0]["role"] != "assistant":
        raise Reject("not_a_pair", f"{name} is a conversation that does not begin with the prompt.")
    return answer


def _openai(value: dict[str, Any]) -> Conversation:
    given = value.get("input")
    if not isinstance(given, dict):
        raise Reject("not_a_pair", "input is missing; it holds the prompt's messages.")
    return (
        messages(given.get("messages"), "input.messages", "user"),
        answer(value.get("preferred_output"), "preferred_output"),
        answer(value.get("non_preferred_output"), "non_preferred_output"),
    )


def _implicit(value: dict[str, Any]) -> Conversation:
    chosen, rejected = answer(value["chosen"], "chosen"), answer(value["rejected"], "rejected")
    return _split(chosen, rejected)


def _hh_rlhf(value: dict[str, Any]) -> Conversation:
    prompt = value.get("prompt") or ""
    if not isinstance(prompt, str):
        raise Reject("not_a_pair", f"prompt is {json_type(prompt)}; a transcript was expected.")
    chosen, rejected = (_hh_turns(prompt, value[name], name) for name in ("chosen", "rejected"))
    return _split(chosen, rejected)


def _hh_turns(prompt: str, given: Any, name: str) -> list[Message]:
    if not isinstance(given, str):
        raise Reject("not_a_pair", f"{name} is {json_type(given)}; a transcript was expected.")
    given = given if given.startswith(prompt) else prompt + given
    before, *parts = HH_MARKER.split(given)
    if before.strip() or not parts:
        raise Reject("not_a_pair", f"{name} does not begin with a '\\n\\nHuman:' turn.")
    return [
        Message(role=ROLES[speaker.lower()], content=text(words, name).strip())
        for speaker, words in zip(parts[::2], parts[1::2], strict=True)
    ]


def _sharegpt(value: dict[str, Any]) -> Conversation:
    prompt = messages(value["conversations"], "conversations", "user")
    return prompt, answer(value["chosen"], "chosen"), answer(value["rejected"], "rejected")


def _ranked(value: dict[str, Any]) -> Conversation:
    responses, orders = value["responses"], [key for key in ("scores", "ranks") if key in value]
    if len(orders) != 1:
        raise Reject("not_a_pair", "responses need scores (high is good) or ranks (low is good).")
    order = value[orders[0]]
    if not (isinstance(responses, list) and isinstance(order, list)):
        raise Reject("not_a_pair", f"responses and {orders[0]} must be arrays.")
    if len(responses) != len(order) or len(order) < 2:
        raise Reject("not_a_pair", f"responses and {orders[0]} must be of one length, at least 2.")
    if not all(_is_number(number) for number in order):
        raise Reject("not_a_pair", f"{orders[0]} must be numbers.")
    if max(order) == min(order):
        raise Reject("not_a_pair", f"All {orders[0]} are equal: no response is better.")
    high, low = (responses[order.index(pick(order))] for pick in (max, min))
    best, worst = (high, low) if orders[0] == "scores" else (low, high)
    return (
        messages(value.get("prompt"), "prompt", "user"),
        answer(best, "the best response"),
        answer(worst, "the worst response"),
    )


def _is_number(value: Any) -> bool:
    number = isinstance(value, int | float) and not isinstance(value, bool)
    return number and (isinstance(value, int) or math.isfinite(value))


def _supervised(value: dict[str, Any]) -> Conversation:
    turns = answer(value["messages"], "messages")
    return turns[:-1], turns[-1:], None


def _swift(value: dict[str, Any]) -> Conversation:
    turns = answer(value["messages"], "messages")
    if value.get("rejected_messages") and value.get("rejected_response"):
        raise Reject("not_a_pair", "The row has rejected_response and rejected_messages; keep one.")
    if value.get("rejected_messages"):
        return _split(turns, answer(value["rejected_messages"], "rejected_messages"))
    return turns[:-1], turns[-1:], answer(value.get("rejected_response"), "rejected_response")


class _Form(NamedTuple):
    """How rows of a shape are read, the keys that are read, and those that hold messages."""

    parse: Callable[[dict[str, Any]], Conversation]
    keys: frozenset[str]
    conversations: tuple[str, ...]


def _form(
    parse: Callable[[dict[str, Any]], Conversation], *conversations: str, also: tuple[str, ...] = ()
) -> _Form:
    return _Form(parse, frozenset((*conversations, *also)), conversations)


_FORMS: dict[Shape, _Form] = {
    Shape.EXPLICIT: _form(_explicit, "prompt", "chosen", "rejected"),
    Shape.OPENAI: _form(
        _openai, "input.messages", "preferred_output", "non_preferred_output", also=("input",)
    ),
    Shape.IMPLICIT: _form(_implicit, "chosen", "rejected"),
    Shape.HH_RLHF: _form(_hh_rlhf, also=("prompt", "chosen", "rejected")),
    Shape.SHAREGPT: _form(_sharegpt, "conversations", "chosen", "rejected"),
    Shape.RANKED: _form(_ranked, "prompt", "responses", also=("scores", "ranks")),
    Shape.MESSAGES: _form(_supervised, "messages"),
    Shape.SWIFT: _form(_swift, "messages", "rejected_response", "rejected_messages"),
    Shape.ALPACA: _form(
        read_alpaca, "output", "chosen", "rejected", also=("instruction", "input", "history")
    ),
    Shape.THUMBS: _form(
        read_thumb, "prompt", "completion", "response", "messages", also=("label", "rating")
    ),
}


def _split(chosen: list[Message], rejected: list[Message]) -> Conversation:
    """Split two whole conversations into their shared messages and the rest of each."""
    shared = 0
    shortest = min(len(chosen), len(rejected))
    while shared < shortest and _are_same([chosen[shared]], [rejected[shared]]):
        shared += 1
    if shared == 0:
        raise Reject("not_a_pair", "chosen and rejected do not begin with the same prompt.")
    if shared == len(chosen) == len(rejected):
        raise Reject("identical", "chosen and rejected are the same; the pair teaches nothing.")
    return chosen[:shared], chosen[shared:], rejected[shared:]


def _are_same(left: list[Message], right: list[Message]) -> bool:
    """Whether the model sees the same in both; a weight is not shown to it."""
    if left == right:
        return True
    if len(left) != len(right) or left[0]["role"] != right[0]["role"]:  # most that differ
        return False
    weighted = any("weight" in turn for turn in left) or any("weight" in turn for turn in right)
    return weighted and [*map(_seen, left)] == [*map(_seen, right)]


def _seen(turn: Message) -> dict[str, Any]:
    return {key: held for key, held in turn.items() if key != "weight"}


def _checked(pair: Pair) -> Pair:
    """The pair, if it can be trained on: see `Pair` for what must hold."""
    if not pair.prompt or _is_blank(pair.prompt[-1]):
        raise Reject("empty", "The prompt is empty.")
    if pair.prompt[-1]["role"] == "assistant":
        raise Reject("not_a_pair", "The prompt ends with an assistant turn; it must ask something.")
    _check_answer(pair.chosen, "chosen")
    if pair.rejected is not None:
        _check_answer(pair.rejected, "rejected")
    if pair.chosen == pair.rejected:
        raise Reject("identical", "chosen and rejected are the same; the pair teaches nothing.")
    return pair


def _check_answer(answer: list[Message], name: str) -> None:
    if not answer or any(map(_is_blank, answer)):
        raise Reject("empty", f"The {name} answer is empty.")
    if answer[0]["role"] != "assistant" or answer[-1]["role"] != "assistant":
        raise Reject("not_a_pair", f"The {name} answer must begin and end with an assistant turn.")


def _is_blank(turn: Message) -> bool:
    """Whether a turn says nothing. One that calls tools may have no text, and a tool no result."""
    if turn["content"] and not turn["content"].isspace():
        return False
    return turn["role"] != "tool" and not turn.get("tool_calls")
