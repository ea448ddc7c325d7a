"""Converts one preference row, in any accepted shape, to a pair in its normal form.

Knows JSON values, not files. A row that fits no shape, or two shapes, is rejected; the code never
guesses.
"""

import math
import re
from collections.abc import Callable
from dataclasses import dataclass
from enum import StrEnum
from typing import Any, TypedDict

SURROGATE = re.compile("[\ud800-\udfff]")
HH_MARKER = re.compile(r"\n\n(Human|Assistant):")
ROLES = {
    "system": "system",
    "developer": "system",
    "user": "user",
    "human": "user",
    "assistant": "assistant",
    "gpt": "assistant",
}


class Message(TypedDict):
    """One turn of a conversation; `role` is system, user or assistant."""

    role: str
    content: str


class Shape(StrEnum):
    """The accepted shapes of a row, by the names that reports show."""

    EXPLICIT = "explicit"
    OPENAI = "openai"
    IMPLICIT = "implicit"
    HH_RLHF = "hh_rlhf"
    SHAREGPT = "sharegpt"
    RANKED = "ranked"
    MESSAGES = "messages"

    # An enum's own hash is a Python call, and each row needs it twice.
    __hash__ = str.__hash__


class Reject(ValueError):
    """Why a row can't be trained on: a `code` for the counts, a sentence that says what to do."""

    def __init__(self, code: str, message: str):
        super().__init__(message)
        self.code = code
        self.message = message


@dataclass(frozen=True)
class Pair:
    """A prompt with a preferred and a dispreferred answer (None for `messages` rows).

    The prompt never ends with an assistant turn; both answers begin and end with one.
    """

    line: int
    prompt: list[Message]
    chosen: list[Message]
    rejected: list[Message] | None

    def to_json(self) -> dict[str, Any]:
        """The normal form: one line of a run's `train_path`."""
        return {
            "line": self.line,
            "prompt": self.prompt,
            "chosen": self.chosen,
            "rejected": self.rejected,
        }

    @classmethod
    def from_json(cls, value: dict[str, Any]) -> "Pair":
        """Read the normal form back; raises KeyError where a field is missing."""
        return cls(value["line"], value["prompt"], value["chosen"], value["rejected"])


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
    prompt, chosen = value.get("prompt"), value["chosen"]
    if _is_transcript(prompt) or _is_transcript(chosen):
        return Shape.HH_RLHF
    if prompt is not None:
        return Shape.EXPLICIT
    return Shape.IMPLICIT if isinstance(chosen, list) else None


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
        found.append(Shape.MESSAGES)
    return found


def why_no_shape(value: Any) -> str:
    """A sentence on a row that `detect` refused: what is missing, and what was seen instead."""
    if not isinstance(value, dict):
        return f"A row is a JSON object, this one is {_json_type(value)}."
    seen = ", ".join(f"{key:.40}" for key in sorted(map(str, value))[:12]) or "none"
    found = _families(value)
    if len(found) > 1:
        return f"The keys fit {' and '.join(found)} at once; keep those of one shape. Seen: {seen}."
    missing = [key for key in ("prompt", "chosen", "rejected") if key not in value]
    what = ", ".join(missing) or "messages in chosen and rejected"
    return f"Not a preference pair: {what} missing. Keys seen: {seen}."


def _json_type(value: Any) -> str:
    names = {list: "an array", str: "a string", bool: "a boolean", type(None): "null"}
    return names.get(type(value), "a number")


def parse(value: dict[str, Any], shape: Shape, line: int) -> Pair:
    """Bring a row of a known shape to its normal form; raises `Reject` with a code and a reason."""
    prompt, chosen, rejected = _PARSERS[shape](value)
    return _checked(Pair(line, prompt, chosen, rejected))


Conversation = tuple[list[Message], list[Message], list[Message] | None]


def _explicit(value: dict[str, Any]) -> Conversation:
    chosen = _answer(value["chosen"], "chosen")
    rejected = _answer(value["rejected"], "rejected")
    given = value["prompt"]
    prompt = _messages(given, "prompt", "user")
    if isinstance(given, str) and chosen[0]["role"] != "assistant":
        # The prompt as text, with whole conversations in both answers, as in UltraFeedback.
        shared, chosen_tail, rejected_tail = _split(chosen, rejected)
        if any(turn["content"] == given for turn in shared):
            return shared, chosen_tail, rejected_tail
    return prompt, _without(prompt, chosen, "chosen"), _without(prompt, rejected, "rejected")


def _without(prompt: list[Message], answer: list[Message], name: str) -> list[Message]:
    """`answer` without the prompt, if it was given as the whole conversation."""
    if answer[: len(prompt)] == prompt:
        return answer[len(prompt) :]
    if answer[0]["role"] != "assistant":
        raise Reject("not_a_pair", f"{name} is a conversation that does not begin with the prompt.")
    return answer


def _openai(value: dict[str, Any]) -> Conversation:
    given = value.get("input")
    if not isinstance(given, dict):
        raise Reject("not_a_pair", "input is missing; it holds the prompt's messages.")
    if given.get("tools"):
        raise Reject("not_a_pair", "input.tools is not empty; tool calls are not trained.")
    return (
        _messages(given.get("messages"), "input.messages", "user"),
        _answer(value.get("preferred_output"), "preferred_output"),
        _answer(value.get("non_preferred_output"), "non_preferred_output"),
    )


def _implicit(value: dict[str, Any]) -> Conversation:
    chosen, rejected = _answer(value["chosen"], "chosen"), _answer(value["rejected"], "rejected")
    return _split(chosen, rejected)


def _hh_rlhf(value: dict[str, Any]) -> Conversation:
    prompt = value.get("prompt") or ""
    chosen, rejected = (_hh_turns(prompt, value[name], name) for name in ("chosen", "rejected"))
    return _split(chosen, rejected)


def _hh_turns(prompt: str, text: Any, name: str) -> list[Message]:
    if not isinstance(text, str):
        raise Reject("not_a_pair", f"{name} is {_json_type(text)}; a transcript was expected.")
    text = text if text.startswith(prompt) else prompt + text
    before, *parts = HH_MARKER.split(text)
    if before.strip() or not parts:
        raise Reject("not_a_pair", f"{name} does not begin with a '\\n\\nHuman:' turn.")
    return [
        Message(role=ROLES[speaker.lower()], content=_text(words, name).strip())
        for speaker, words in zip(parts[::2], parts[1::2], strict=True)
    ]


def _sharegpt(value: dict[str, Any]) -> Conversation:
    prompt = _messages(value["conversations"], "conversations", "user")
    if value.get("system") and prompt and prompt[0]["role"] != "system":
        prompt.insert(0, Message(role="system", content=_text(value["system"], "system")))
    return prompt, _answer(value["chosen"], "chosen"), _answer(value["rejected"], "rejected")


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
        _messages(value.get("prompt"), "prompt", "user"),
        _answer(best, "the best response"),
        _answer(worst, "the worst response"),
    )


def _is_number(value: Any) -> bool:
    number = isinstance(value, int | float) and not isinstance(value, bool)
    return number and math.isfinite(value)


def _supervised(value: dict[str, Any]) -> Conversation:
    messages = _answer(value["messages"], "messages")
    return messages[:-1], messages[-1:], None


_PARSERS: dict[Shape, Callable[[dict[str, Any]], Conversation]] = {
    Shape.EXPLICIT: _explicit,
    Shape.OPENAI: _openai,
    Shape.IMPLICIT: _implicit,
    Shape.HH_RLHF: _hh_rlhf,
    Shape.SHAREGPT: _sharegpt,
    Shape.RANKED: _ranked,
    Shape.MESSAGES: _supervised,
}


def _split(chosen: list[Message], rejected: list[Message]) -> Conversation:
    """Split two whole conversations into their shared messages and the rest of each."""
    shared = 0
    while shared < min(len(chosen), len(rejected)) and chosen[shared] == rejected[shared]:
        shared += 1
    if shared == 0:
        raise Reject("not_a_pair", "chosen and rejected do not begin with the same prompt.")
    if shared == len(chosen) == len(rejected):
        raise Reject("identical", "chosen and rejected are the same; the pair teaches nothing.")
    return chosen[:shared], chosen[shared:], rejected[shared:]


# --- messages -----------------------------------------------------------------------------------


def _answer(value: Any, name: str) -> list[Message]:
    messages = _messages(value, name, "assistant")
    if not messages:
        raise Reject("empty", f"{name} is empty.")
    return messages


def _messages(value: Any, name: str, role: str) -> list[Message]:
    """A text (of `role`), one message or an array of messages, as an array of messages."""
    if isinstance(value, str):
        return [Message(role=role, content=_text(value, name))]
    if isinstance(value, dict):
        return [_message(value, name)]
    if isinstance(value, list):
        return [_message(turn, f"{name}[{index}]") for index, turn in enumerate(value)]
    if value is None:
        raise Reject("not_a_pair", f"{name} is missing.")
    raise Reject("not_a_pair", f"{name} is {_json_type(value)}; text or messages were expected.")


def _message(value: Any, name: str) -> Message:
    if not isinstance(value, dict):
        raise Reject("not_a_pair", f"{name} is {_json_type(value)}; a message was expected.")
    role = value.get("role", value.get("from"))
    if not isinstance(role, str) or role not in ROLES:
        raise Reject("not_a_pair", f"{name} has the role {role!r:.40}; known: {', '.join(ROLES)}.")
    if value.get("tool_calls"):
        raise Reject("not_a_pair", f"{name} holds tool calls; only text is trained.")
    content = value.get("content", value.get("value"))
    if isinstance(content, list):
        content = "".join(_part(part, name) for part in content)
    return Message(role=ROLES[role], content=_text(content, name))


def _part(part: Any, name: str) -> str:
    if isinstance(part, dict) and part.get("type") == "text" and isinstance(part.get("text"), str):
        return part["text"]
    raise Reject("not_a_pair", f"{name} holds a part that is not text; only text is trained.")


def _text(value: Any, name: str) -> str:
    if not isinstance(value, str):
        what = "has no text" if value is None else f"is {_json_type(value)}; text was expected"
        raise Reject("empty" if value is None else "not_a_pair", f"{name} {what}.")
    if "\0" in value:
        raise Reject("bad_text", f"{name} holds a NUL character; remove it.")
    if not value.isascii() and SURROGATE.search(value):
        raise Reject("bad_text", f"{name} holds half of a surrogate pair; write it as UTF-8.")
    return value


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
    return not turn["content"] or turn["content"].isspace()
