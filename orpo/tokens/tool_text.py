"""Whether a chat template shows what a conversation holds of tools.

Many templates ignore tool definitions, calls or results without an error, and the model would be
trained on something else than the row. Knows messages and templates; knows nothing of tokens.
"""

import json
from collections.abc import Callable
from typing import Any

from orpo.rows.formats import Message, Reject
from orpo.rows.tools import Called, ToolCall

Tools = list[dict[str, Any]] | None
Render = Callable[[list[Message], Tools], str]


def has_tools(messages: list[Message], tools: Tools) -> bool:
    """Whether a conversation holds anything of tools."""
    return bool(tools) or any(turn["role"] == "tool" or "tool_calls" in turn for turn in messages)


def require_shown(render: Render, messages: list[Message], tools: Tools) -> None:
    """Raise `Reject("tools")` if the template leaves out a tool's definition, call or result.

    A short name or result occurs in other text by chance. So the conversation is rendered once
    more, with a mark in the place of each text; then the texts themselves are looked for.
    """
    marks = _Marks()
    marked_tools = [_marked_tool(tool, marks) for tool in tools] if tools else None
    marked = [_marked(turn, marks) for turn in messages]
    try:
        text = render(marked, marked_tools)
    except Reject:
        pass  # it takes only certain names or forms; its real texts are checked below
    else:
        _require(next((what for mark, what in marks.found.items() if mark not in text), None))
    _require(_missing(render(messages, tools), messages, tools))


def _require(missing: str | None) -> None:
    if missing:
        raise Reject(
            "tools",
            f"The model's chat template leaves out {missing}. The trained text would differ from "
            "the row.",
        )


class _Marks:
    """Texts that occur nowhere else, and what each stands for."""

    def __init__(self) -> None:
        self.found: dict[str, str] = {}

    def add(self, what: str) -> str:
        mark = f"standsfor{len(self.found)}x"
        self.found[mark] = what
        return mark


def _marked(turn: Message, marks: _Marks) -> Message:
    made = turn.copy()
    if turn["role"] == "tool" and turn["content"].strip():
        made["content"] = marks.add("the result of a tool call")
    if "tool_calls" in turn:
        made["tool_calls"] = [_marked_call(call, marks) for call in turn["tool_calls"]]
    return made


def _marked_call(call: ToolCall, marks: _Marks) -> ToolCall:
    name, given = call["function"]["name"], call["function"]["arguments"]
    what = f"a call of the tool `{name:.80}`"
    mark = marks.add(what)
    if isinstance(given, dict):
        of = f"an argument in {what}"
        arguments: dict[str, Any] | str = {marks.add(of): marks.add(of) for _ in given}
    else:
        arguments = marks.add(f"the arguments in {what}")
    made = call.copy()
    made["function"] = Called(name=mark, arguments=arguments)
    return made


def _marked_tool(tool: dict[str, Any], marks: _Marks) -> dict[str, Any]:
    """A definition with marks for its name, its description and the names of its parameters."""
    function = dict(tool["function"])
    what = f"the definition of the tool `{function['name']:.80}`"
    function["name"] = marks.add(what)
    if str(function.get("description") or "").strip():
        function["description"] = marks.add(f"the description in {what}")
    properties = (function.get("parameters") or {}).get("properties")
    if isinstance(properties, dict):
        names = {name: marks.add(f"the parameter `{name:.80}` in {what}") for name in properties}
        renamed = {names[name]: held for name, held in properties.items()}
        function["parameters"] = {**function["parameters"], "properties": renamed}
        required = function["parameters"].get("required")
        if isinstance(required, list):
            found = [names.get(name, name) if isinstance(name, str) else name for name in required]
            function["parameters"]["required"] = found
    return {**tool, "function": function}


def _missing(text: str, messages: list[Message], tools: Tools) -> str | None:
    for tool in tools or ():
        name = tool["function"]["name"]
        if not _shows(text, name):
            return f"the definition of the tool `{name:.80}`"
    for turn in messages:
        for call in turn.get("tool_calls", ()):
            if not _shows(text, call["function"]["name"]):
                return f"a call of the tool `{call['function']['name']:.80}`"
        if turn["role"] == "tool" and not _shows(text, turn["content"]):
            return "the result of a tool call"
    return None


def _shows(text: str, part: str) -> bool:
    """Whether a text holds a part, as it is or as a string in JSON, white space aside."""
    forms = (part, *(json.dumps(part, ensure_ascii=ascii_)[1:-1] for ascii_ in (False, True)))
    held = "".join(text.split())
    return any("".join(form.split()) in held for form in forms)
