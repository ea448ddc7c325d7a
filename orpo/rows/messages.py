"""The normal form of a message, a conversation and a pair, and how values are brought to it.

Knows the names of roles and the keys of messages; knows nothing of rows.
"""

import re
from dataclasses import dataclass, field
from typing import Any, NotRequired, TypedDict

import orjson

from orpo.rows.tools import ToolCall, call, calls, spelled_calls
from orpo.rows.values import Reject, json_type, text

__all__ = ["Message", "Pair", "Reject", "ToolCall", "answer", "json_type", "messages", "text"]

ROLES = {
    "system": "system",
    "developer": "system",
    "user": "user",
    "human": "user",
    "assistant": "assistant",
    "gpt": "assistant",
    "tool": "tool",
    "function": "tool",  # OpenAI's older form
    "observation": "tool",
    "tool_response": "tool",
    "function_call": "assistant",  # ShareGPT: the text spells the calls
    "tool_call": "assistant",
}
SPELLED_CALLS = ("function_call", "tool_call")
PLAIN = {role: role for role in ("system", "user", "assistant")}
THOUGHTS = ("reasoning_content", "reasoning", "thinking", "thought")
READ = frozenset(
    ("role", "from", "content", "value", "tool_calls", "function_call", "tool_call_id", *THOUGHTS)
)
# Keys that change what the model should see or learn and that are not read: why, if not empty.
NOT_TEXT: dict[str, str] = dict.fromkeys(
    ("images", "image", "audio", "audios", "video", "videos", "documents"),
    "something that is not text; only text is trained",
)
# The same beside the messages of a row.
CHANGES = {
    **dict.fromkeys(
        ("tool_calls", "function_call", "tool_call_id"),
        "a part of a message; put it into the message that it belongs to",
    ),
    **dict.fromkeys(THOUGHTS, "reasoning; put it into the message that it belongs to"),
    **NOT_TEXT,
}
STARTS = ("[", "{", " ", "\n", "\r", "\t")
# The start of a list of messages that Python printed: 'role' in single quotes.
PYTHON_LIST = re.compile(r"\s*\[\s*\{\s*'(?:role|from|content|value)'\s*:")


class Message(TypedDict):
    """One turn of a conversation; `role` is system, user, assistant or tool.

    `content` is blank where a turn only calls tools, and where a tool returned nothing. Keys that
    a turn does not need are absent. `weight` is 0 in an assistant turn that is not trained.
    """

    role: str
    content: str
    tool_calls: NotRequired[list[ToolCall]]
    tool_call_id: NotRequired[str]
    name: NotRequired[str]
    reasoning_content: NotRequired[str]
    weight: NotRequired[int]


@dataclass(frozen=True)
class Pair:
    """A prompt with a preferred and a dispreferred answer (None for `messages` rows).

    The prompt never ends with an assistant turn; both answers begin and end with one. `tools` are
    the definitions that the model is shown, or None. `origin` is the file and the line that a row
    of a version is from; it is never trained.
    """

    line: int
    prompt: list[Message]
    chosen: list[Message]
    rejected: list[Message] | None
    tools: list[dict[str, Any]] | None = None
    origin: tuple[str, int] | None = field(default=None, compare=False)

    def to_json(self) -> dict[str, Any]:
        """The normal form: one line of a run's `train_path`."""
        made = {
            "line": self.line,
            **({"from": self.origin} if self.origin else {}),
            "prompt": self.prompt,
            "chosen": self.chosen,
            "rejected": self.rejected,
        }
        # Left out where there are none: a row's bytes are part of a run's fingerprint.
        return {**made, "tools": self.tools} if self.tools else made

    @classmethod
    def from_json(cls, value: dict[str, Any]) -> "Pair":
        """Read the normal form back; raises KeyError where a field is missing."""
        rows = (value["line"], value["prompt"], value["chosen"], value["rejected"])
        return cls(*rows, value.get("tools"))


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
    return role_of(value) is not None and not {"content", "value", "tool_calls"}.isdisjoint(value)


def role_of(value: dict[str, Any]) -> str | None:
    """The role of a message in its normal form, or None if it is not known."""
    role = value.get("role", value.get("from"))
    return ROLES.get(role) if isinstance(role, str) else None


def message(value: Any, name: str) -> Message:
    """One message in its normal form; raises `Reject` if it holds more than can be trained."""
    if not isinstance(value, dict):
        raise Reject("not_a_pair", f"{name} is {json_type(value)}; a message was expected.")
    if len(value) == len(("role", "content")):  # most messages
        role = value.get("role")
        if isinstance(role, str) and role in PLAIN and isinstance(value.get("content"), str):
            return Message(role=role, content=text(value["content"], name))
    role = role_of(value)
    if role is None:
        given = value.get("role", value.get("from"))
        raise Reject("not_a_pair", f"{name} has the role {given!r:.40}; known: {', '.join(ROLES)}.")
    if "role" in value and value.get("from") and role_of({"from": value["from"]}) != role:
        raise Reject("not_a_pair", f"{name} has a role and a from that differ; keep one.")
    for key, held in value.items():
        refuse_change(f"{name}.", key, held, NOT_TEXT)
    return _with_all(value, role, name)


def _with_all(value: dict[str, Any], role: str, name: str) -> Message:
    """The message with everything that its role may have."""
    content, thought = _content(value, name)
    found = _tool_calls(value, content, name)
    thought = _thought(value, thought, name)
    if role != "assistant" and (found or thought):
        what = "tool calls" if found else "reasoning"
        raise Reject("not_a_pair", f"{name} has {what}, which only assistant turns have.")
    if (content is None and found) or _spells_calls(value):
        content = ""
    made = Message(role=role, content=text(content, name))
    if found:
        made["tool_calls"] = found
    if thought:
        made["reasoning_content"] = thought
    for key in ("tool_call_id", "name"):
        if value.get(key):
            made[key] = text(value[key], f"{name}.{key}")
    if made.get("tool_call_id") and role != "tool":
        raise Reject("not_a_pair", f"{name}.tool_call_id belongs to a message with the role tool.")
    if role == "assistant" and _weight(value, name) == 0:
        made["weight"] = 0
    return made


def _content(value: dict[str, Any], name: str) -> tuple[str | None, str]:
    """The text of a message, and that of its parts that are thoughts."""
    content = value.get("content", value.get("value"))
    if content is not None and value.get("value", content) != content:
        raise Reject("not_a_pair", f"{name} has a content and a value that differ; keep one.")
    if not isinstance(content, list):
        return content, ""
    texts, thoughts = [], []
    for part in content:
        kind, held = _part(part, name)
        if kind != "text" and any(map(str.strip, texts)):
            raise Reject("not_a_pair", f"{name} holds a thought after its text.")
        (texts if kind == "text" else thoughts).append(held)
    return "".join(texts), "".join(thoughts)


def _part(part: Any, name: str) -> tuple[str, str]:
    """`text` or `thought`, and the text of the part."""
    key = text_of_part(part) if isinstance(part, dict) else ""
    if key and isinstance(part.get(key), str):
        return ("text" if part["type"] == "text" else "thought"), part[key]
    raise Reject("not_a_pair", f"{name} holds a part that is not text; only text is trained.")


def text_of_part(part: dict[str, Any]) -> str:
    """The key of a part that holds its text or its thought; "" if it is of another type."""
    kind = part.get("type")
    if kind not in ("text", "thinking", "reasoning"):
        return ""
    return kind if kind in part else "text"


def _spells_calls(value: dict[str, Any]) -> bool:
    return value.get("role", value.get("from")) in SPELLED_CALLS


def _tool_calls(value: dict[str, Any], content: Any, name: str) -> list[ToolCall]:
    """The calls of a turn: those of `tool_calls`, of OpenAI's older form, or of ShareGPT."""
    given: list[list[ToolCall]] = []
    if value.get("tool_calls"):
        given.append(calls(value["tool_calls"], f"{name}.tool_calls"))
    if value.get("function_call"):
        given.append([call(value["function_call"], f"{name}.function_call")])
    if _spells_calls(value):
        given.append(spelled_calls(text(content, name), name))
    if len(given) > 1:
        raise Reject("not_a_pair", f"{name} has tool calls in two forms; keep one.")
    return given[0] if given else []


def _thought(value: dict[str, Any], of_parts: str, name: str) -> str:
    """The thought beside the content, which has several names."""
    found = [text(value[key], f"{name}.{key}") for key in THOUGHTS if value.get(key)]
    found = [thought for thought in (*found, of_parts) if thought]
    if any(thought != found[0] for thought in found):
        raise Reject("not_a_pair", f"{name} has two thoughts that differ; keep one.")
    return text(found[0], name) if found else ""


def _weight(value: dict[str, Any], name: str) -> int:
    weight = value.get("weight")
    if weight is None:
        return 1
    if not isinstance(weight, int | float) or weight not in (0, 1):
        raise Reject("not_a_pair", f"{name}.weight is neither 0 nor 1.")
    return int(weight)


def as_text(turn: Message) -> str:
    """A turn as text for people: its thought, its content and its tool calls."""
    parts = [turn["content"]] if turn["content"] else []
    if thought := turn.get("reasoning_content"):
        parts.insert(0, f"<think>{thought}</think>")
    called = turn.get("tool_calls", ())
    parts += [f"{each['function']['name']}({_as_json_text(each)})" for each in called]
    return "\n".join(parts)


def with_ids(turns: list[Message]) -> list[Message]:
    """The turns with ids for all calls and their results, which chat APIs require."""
    made: list[Message] = []
    waiting: list[str] = []
    n_calls = 0
    for turn in turns:
        copy = turn.copy()
        if found := turn.get("tool_calls"):
            n_before, n_calls = n_calls, n_calls + len(found)
            called = [
                ToolCall(
                    id=each.get("id", f"call{n:05d}"), type="function", function=each["function"]
                )
                for n, each in enumerate(found, n_before)
            ]
            copy["tool_calls"], waiting = called, [each.get("id", "") for each in called]
        elif turn["role"] == "tool" and waiting:
            copy["tool_call_id"] = turn.get("tool_call_id", waiting[0])
            waiting = waiting[1:]
        made.append(copy)
    return made


def as_request(turn: Message) -> dict[str, Any]:
    """A turn as clients of a chat API send it; `message` reads it back.

    Arguments are JSON texts, a thought is called `reasoning`, and there is no weight.
    """
    made: dict[str, Any] = {key: held for key, held in turn.items() if key != "weight"}
    if thought := made.pop("reasoning_content", None):
        made["reasoning"] = thought
    if "tool_calls" in made:
        made["tool_calls"] = [
            {**each, "function": {**each["function"], "arguments": _as_json_text(each)}}
            for each in turn.get("tool_calls", ())
        ]
    return made


def _as_json_text(call: ToolCall) -> str:
    given = call["function"]["arguments"]
    return given if isinstance(given, str) else orjson.dumps(given).decode()


def refuse_change(place: str, key: str, held: Any, changes: dict[str, str] = CHANGES) -> None:
    """Raise `Reject` if the key is one of `changes` and has a value; `place` stands before it."""
    if held and key in changes:
        raise Reject("not_a_pair", f"{place}{key} holds {changes[key]}.")
