"""The normal form of a message, a conversation and a pair, and how values are brought to it.

Knows the names of roles and the keys of messages; knows nothing of rows.
"""

import re
from dataclasses import dataclass, field
from typing import Any, TypedDict

import orjson

SURROGATE = re.compile("[\ud800-\udfff]")
ROLES = {
    "system": "system",
    "developer": "system",
    "user": "user",
    "human": "user",
    "assistant": "assistant",
    "gpt": "assistant",
}
READ = frozenset(("role", "from", "content", "value"))
# Keys that change what the model should see or learn and that are not read: why, if not empty.
CHANGES = {
    "tool_calls": "tool calls, which are not trained",
    "function_call": "a function call, which is not trained",
    "tool_call_id": "the result of a tool call, which is not trained",
    **dict.fromkeys(
        ("reasoning_content", "reasoning", "thinking", "thought"),
        "reasoning beside the content, which is not read; write it into the content, between "
        "<think> and </think>, or remove it",
    ),
    **dict.fromkeys(
        ("images", "image", "audio", "audios", "video", "videos", "documents"),
        "something that is not text; only text is trained",
    ),
}
STARTS = ("[", "{", " ", "\n", "\r", "\t")
# The start of a list of messages that Python printed: 'role' in single quotes.
PYTHON_LIST = re.compile(r"\s*\[\s*\{\s*'(?:role|from|content|value)'\s*:")


class Message(TypedDict):
    """One turn of a conversation; `role` is system, user or assistant."""

    role: str
    content: str


class Reject(ValueError):
    """Why a row can't be trained on: a `code` for the counts, a sentence that says what to do."""

    def __init__(self, code: str, message: str):
        super().__init__(message)
        self.code = code
        self.message = message


@dataclass(frozen=True)
class Pair:
    """A prompt with a preferred and a dispreferred answer (None for `messages` rows).

    The prompt never ends with an assistant turn; both answers begin and end with one. `origin` is
    the file and the line that a row of a version is from; it is never trained.
    """

    line: int
    prompt: list[Message]
    chosen: list[Message]
    rejected: list[Message] | None
    origin: tuple[str, int] | None = field(default=None, compare=False)

    def to_json(self) -> dict[str, Any]:
        """The normal form: one line of a run's `train_path`."""
        return {
            "line": self.line,
            **({"from": self.origin} if self.origin else {}),
            "prompt": self.prompt,
            "chosen": self.chosen,
            "rejected": self.rejected,
        }

    @classmethod
    def from_json(cls, value: dict[str, Any]) -> "Pair":
        """Read the normal form back; raises KeyError where a field is missing."""
        return cls(value["line"], value["prompt"], value["chosen"], value["rejected"])


def origin_of(value: dict[str, Any]) -> tuple[str, int] | None:
    """Where a row of a version is from: its key `from`, if that holds a file's id and a line."""
    match value.get("from"):
        case [str(file_id), int(line)] if file_id.startswith("file-"):
            return file_id, line
    return None


def answer(value: Any, name: str) -> list[Message]:
    """The messages of an answer, of which a text is the only one; raises `Reject` if it is empty
    or its last message is excluded from training.
    """
    found = messages(value, name, "assistant")
    if not found:
        raise Reject("empty", f"{name} is empty.")
    last = value[-1] if isinstance(value, list) else value
    if isinstance(last, dict) and last.get("weight") == 0:
        raise Reject("not_a_pair", f"{name} has weight 0: it is excluded from training.")
    return found


def messages(value: Any, name: str, role: str) -> list[Message]:
    """A text (of `role`), one message or an array of messages, as an array of messages."""
    if isinstance(value, str):
        return spelled(value, name) or [Message(role=role, content=text(value, name))]
    if isinstance(value, dict):
        return [message(value, name)]
    if isinstance(value, list):
        return [message(turn, f"{name}[{index}]") for index, turn in enumerate(value)]
    if value is None:
        raise Reject("not_a_pair", f"{name} is missing.")
    raise Reject("not_a_pair", f"{name} is {json_type(value)}; text or messages were expected.")


def spelled(value: str, name: str) -> list[Message] | None:
    """The messages that a text spells in JSON, as some tools write them; None for other text.

    Raises `Reject` for a spelling in Python, which can't be read back with certainty.
    """
    if not value.startswith(STARTS):
        return None
    if PYTHON_LIST.match(value):
        raise Reject(
            "not_a_pair",
            f"{name} is text that spells a list of messages in Python; write it as JSON.",
        )
    try:
        found = orjson.loads(value)
    except orjson.JSONDecodeError:
        return None
    turns = found if isinstance(found, list) else [found]
    if not turns or not all(isinstance(turn, dict) and _is_turn(turn) for turn in turns):
        return None
    return messages(turns, name, "assistant")


def _is_turn(value: dict[str, Any]) -> bool:
    return role_of(value) is not None and ("content" in value or "value" in value)


def role_of(value: dict[str, Any]) -> str | None:
    """The role of a message in its normal form, or None if it is not known."""
    role = value.get("role", value.get("from"))
    return ROLES.get(role) if isinstance(role, str) else None


def message(value: Any, name: str) -> Message:
    """One message in its normal form; raises `Reject` if it holds more than text."""
    if not isinstance(value, dict):
        raise Reject("not_a_pair", f"{name} is {json_type(value)}; a message was expected.")
    role = role_of(value)
    if role is None:
        given = value.get("role", value.get("from"))
        raise Reject("not_a_pair", f"{name} has the role {given!r:.40}; known: {', '.join(ROLES)}.")
    if len(value) > len(("role", "content")):
        for key, held in value.items():
            refuse_change(f"{name}.", key, held)
    content = value.get("content", value.get("value"))
    if content is not None and value.get("value", content) != content:
        raise Reject("not_a_pair", f"{name} has a content and a value that differ; keep one.")
    if isinstance(content, list):
        content = "".join(_part(part, name) for part in content)
    return Message(role=role, content=text(content, name))


def refuse_change(place: str, key: str, held: Any) -> None:
    """Raise `Reject` if the key is one of `CHANGES` and has a value; `place` stands before it."""
    if held and key in CHANGES:
        raise Reject("not_a_pair", f"{place}{key} holds {CHANGES[key]}.")


def _part(part: Any, name: str) -> str:
    if isinstance(part, dict) and part.get("type") == "text" and isinstance(part.get("text"), str):
        return part["text"]
    raise Reject("not_a_pair", f"{name} holds a part that is not text; only text is trained.")


def text(value: Any, name: str) -> str:
    """The text as it is; raises `Reject` if it can't be written as UTF-8, or is no text."""
    if not isinstance(value, str):
        what = "has no text" if value is None else f"is {json_type(value)}; text was expected"
        raise Reject("empty" if value is None else "not_a_pair", f"{name} {what}.")
    if "\0" in value:
        raise Reject("bad_text", f"{name} holds a NUL character; remove it.")
    if not value.isascii() and SURROGATE.search(value):
        raise Reject("bad_text", f"{name} holds half of a surrogate pair; write it as UTF-8.")
    return value


def json_type(value: Any) -> str:
    """The name of a value's type, for sentences."""
    names = {
        list: "an array",
        dict: "an object",
        str: "a string",
        bool: "a boolean",
        type(None): "null",
    }
    return names.get(type(value), "a number")
