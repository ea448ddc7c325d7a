"""What of a chat request may reach a model's template, and in which form.

Every text that a template may print is checked for the model's special strings: contents,
reasoning, names, ids, definitions of tools, and the values of a call's arguments as the engine will
read them. What the template would leave out without a word is refused.
"""

import json
from dataclasses import dataclass
from typing import Any

from orpo.contract.special import SpecialTextError, admit
from services.platform.errors import Invalid
from services.serving.deployments import Route
from services.serving.tool_calls import parsed

Body = dict[str, Any]


def admitted(route: Route, body: Body, param: str = "messages") -> Body:
    """Return the request in the form that the model's engine and template take.

    Raises Invalid if a text holds a special string, or if the template does not render a part of
    the request. The error names the field; `param` is the place of the messages in the request.
    """
    _refuse_unrendered(route, body, param)
    texts = _Texts(route)
    messages = [
        texts.message(message, f"{param}.{number}")
        for number, message in enumerate(body["messages"])
    ]
    if "tools" not in body:
        return {**body, "messages": messages}
    tools = [texts.tool(tool, f"tools.{number}") for number, tool in enumerate(body["tools"])]
    return {**body, "messages": messages, "tools": tools, "tool_choice": _choice(route, body)}


def _choice(route: Route, body: Body) -> str:
    """Whether the engine is to look for calls in the answer; without a parser it refuses to.

    With `none` the template still shows the tools, and calls stay in the text of the answer.
    """
    is_parsed = route.renders is not None and route.renders.tool_parser is not None
    return "auto" if is_parsed and body.get("tool_choice") != "none" else "none"


@dataclass(frozen=True)
class _Texts:
    """Checks or escapes the texts of a request by the rule of its model."""

    route: Route

    def text(self, text: str, place: str) -> str:
        try:
            return admit(text, self.route.special_strings, self.route.rule)
        except SpecialTextError as error:
            raise Invalid(
                f"`{place}` holds `{error.string}`, which `{self.route.model}` reads as a special "
                "token and not as text: take it out.",
                param=place,
                code="special_token",
            ) from None

    def value(self, value: Any, place: str) -> Any:
        """A JSON value with all of its texts admitted, the names of fields, too."""
        match value:
            case str():
                return self.text(value, place)
            case list():
                return [self.value(each, place) for each in value]
            case dict():
                return {
                    self.text(name, place): self.value(each, place) for name, each in value.items()
                }
        return value

    def tool(self, tool: Body, place: str) -> Body:
        """A tool's definition with all of its texts admitted."""
        function = {
            name: self.value(value, f"{place}.function.{name}")
            for name, value in tool["function"].items()
        }
        return {**tool, "function": function}

    def message(self, message: Body, place: str) -> Body:
        """A message with all of its texts admitted."""
        calls = [
            self._call(call, f"{place}.tool_calls.{number}")
            for number, call in enumerate(message.get("tool_calls", ()))
        ]
        texts = {
            name: self.text(text, f"{place}.{name}")
            for name, text in message.items()
            if name not in ("role", "tool_calls")
        }
        return {**message, **texts, **({"tool_calls": calls} if calls else {})}

    def _call(self, call: Body, place: str) -> Body:
        """A call; its arguments are checked as the engine parses them, without escapes of JSON."""
        function, inside = call["function"], f"{place}.function.arguments"
        read = parsed(function["arguments"])
        escaped = self.value(read, inside)
        # In their own spelling where nothing was escaped.
        same = escaped == read
        arguments = function["arguments"] if same else json.dumps(escaped, ensure_ascii=False)
        name = self.text(function["name"], f"{place}.function.name")
        number = self.text(call["id"], f"{place}.id")
        return {**call, "id": number, "function": {"name": name, "arguments": arguments}}


def _refuse_unrendered(route: Route, body: Body, param: str) -> None:
    """Raise Invalid for what the model's template would silently leave out."""
    for place, what, part in _parts(body, param):
        if route.renders is None:
            raise Invalid(
                f"`{place}`: an earlier release deployed `{route.model}`, and did not record what "
                "its chat template renders. Stop the deployment and deploy the model again.",
                param=place,
                code="not_rendered",
            )
        if not getattr(route.renders, part):
            raise Invalid(
                f"`{place}`: the chat template of `{route.model}` does not render {what}, so the "
                "model would not see it. Remove it, or ask another model.",
                param=place,
                code="not_rendered",
            )


def _parts(body: Body, param: str) -> list[tuple[str, str, str]]:
    """The parts of a request that not every template renders: place, name, and field of Renders."""
    found: list[tuple[str, str, str]] = []
    if "tools" in body:
        found.append(("tools", "tools", "tools"))
    if "enable_thinking" in body.get("chat_template_kwargs", {}):
        place = "chat_template_kwargs.enable_thinking"
        found.append((place, "a switch for thinking", "enable_thinking"))
    for number, message in enumerate(body["messages"]):
        place = f"{param}.{number}"
        if message["role"] == "tool":
            found.append((f"{place}.role", "results of tools", "tools"))
        if message.get("tool_calls"):
            found.append((f"{place}.tool_calls", "calls of tools", "tools"))
        if message.get("reasoning_content"):
            found.append((f"{place}.reasoning_content", "the reasoning of answers", "reasoning"))
    return found
