"""Tool definitions and tool calls, and how they are brought to one normal form.

The normal form has the keys that an engine hands to a chat template. Knows the keys of OpenAI's
older and newer form and of ShareGPT; knows nothing of rows.
"""

import json
from collections.abc import Iterator
from typing import Any, NotRequired, Required, TypedDict

import orjson

from orpo.rows.values import Reject, exact, json_type, text

# What a template is given of a definition and of a call; other keys are remarked on.
DEFINITION = frozenset(("type", "function"))
OF_DEFINITION = frozenset(("name", "description", "parameters", "input_schema", "strict"))
CALL = frozenset(("id", "type", "function", "index"))
OF_CALL = frozenset(("name", "arguments"))
# What other formats call the arguments.
OTHER_ARGUMENTS = ("input", "parameters", "args", "kwargs")


class Called(TypedDict):
    """A function's name and its arguments: an object, or text that is no object in JSON."""

    name: str
    arguments: dict[str, Any] | str


class ToolCall(TypedDict, total=False):
    """One call in an assistant turn."""

    id: NotRequired[str]
    type: Required[str]
    function: Required[Called]


def definitions(value: Any, name: str) -> list[dict[str, Any]] | None:
    """Tool definitions: a list, or a JSON text of one; None if there are none.

    Raises `Reject` if they can't be read with certainty.
    """
    found = _from_json(value, name)
    if found in (None, [], {}):
        return None
    if not isinstance(found, list):
        raise Reject("not_a_pair", f"{name} is {json_type(found)}; a list of tools was expected.")
    return [_definition(each, f"{name}[{at}]") for at, each in enumerate(found)]


def _definition(value: Any, name: str) -> dict[str, Any]:
    """`{"type": "function", "function": {...}}`; the function may stand alone in the file."""
    if not isinstance(value, dict):
        raise Reject("not_a_pair", f"{name} is {json_type(value)}; a tool was expected.")
    function = value.get("function", value)
    _require_function(value.get("type"), name)
    if not isinstance(function, dict):
        raise Reject("not_a_pair", f"{name}.function is {json_type(function)}; not an object.")
    made: dict[str, Any] = {"name": _name(function, name)}
    if function.get("description") is not None:
        made["description"] = text(function["description"], f"{name}.description")
    schemas = [function.get(key) for key in ("parameters", "input_schema")]  # Anthropic's name
    parameters, other = schemas if schemas[0] is not None else reversed(schemas)
    if other is not None and other != parameters:
        raise Reject("not_a_pair", f"{name} has parameters and input_schema; keep one.")
    if parameters is not None:
        if not isinstance(parameters, dict):
            what = json_type(parameters)
            raise Reject("not_a_pair", f"{name}.parameters is {what}; a JSON schema was expected.")
        made["parameters"] = exact(parameters, f"{name}.parameters")
    if function.get("strict") is not None:
        made["strict"] = bool(function["strict"])
    return {"type": "function", "function": made}


def calls(value: Any, name: str) -> list[ToolCall]:
    """The tool calls of an assistant turn: a list, or a JSON text of one; raises `Reject`."""
    found = _from_json(value, name)
    if not isinstance(found, list):
        raise Reject("not_a_pair", f"{name} is {json_type(found)}; a list of calls was expected.")
    return [call(each, f"{name}[{at}]") for at, each in enumerate(found)]


def call(value: Any, name: str) -> ToolCall:
    """One call; its function may stand alone, as in OpenAI's older form."""
    if not isinstance(value, dict):
        raise Reject("not_a_pair", f"{name} is {json_type(value)}; a tool call was expected.")
    _require_function(value.get("type"), name)
    function = value.get("function", value)
    if not isinstance(function, dict):
        raise Reject("not_a_pair", f"{name}.function is {json_type(function)}; not an object.")
    called = Called(name=_name(function, name), arguments=_arguments(function, name))
    made = ToolCall(type="function", function=called)
    if value.get("id"):
        made = ToolCall(id=text(value["id"], f"{name}.id"), type="function", function=called)
    return made


def spelled_calls(value: str, name: str) -> list[ToolCall]:
    """The calls that ShareGPT's `function_call` turns spell in JSON: one call, or a list."""
    found = _from_json(value, name)
    return calls(found if isinstance(found, list) else [found], name)


def unread_of_tools(value: Any, name: str) -> Iterator[str]:
    """The paths of keys of tool definitions that no template is given."""
    yield from _unread(value, name, DEFINITION, OF_DEFINITION)


def unread_of_calls(value: Any, name: str) -> Iterator[str]:
    """The paths of keys of tool calls that no template is given."""
    yield from _unread(value, name, CALL, OF_CALL)


def _unread(value: Any, name: str, outer: frozenset[str], inner: frozenset[str]) -> Iterator[str]:
    found = _from_json(value, name)
    for each in found if isinstance(found, list) else [found]:
        if not isinstance(each, dict):
            continue  # in an answer that is not read, such as a response that is not the best
        function = each.get("function")
        known = outer if isinstance(function, dict) else outer | inner
        yield from (f"{name}[].{key}" for key, held in each.items() if held and key not in known)
        for key, held in function.items() if isinstance(function, dict) else ():
            if held and key not in inner:
                yield f"{name}[].function.{key}"


def _require_function(kind: Any, name: str) -> None:
    if kind not in (None, "function"):
        raise Reject("not_a_pair", f"{name} has the type {kind!r:.40}; only functions are trained.")


def _name(function: dict[str, Any], name: str) -> str:
    given = function.get("name")
    if not isinstance(given, str) or not given.strip():
        raise Reject("not_a_pair", f"{name} has no name.")
    return text(given, f"{name}.name")


def _arguments(function: dict[str, Any], name: str) -> dict[str, Any] | str:
    """An object wherever it is certain: templates take objects, and engines read texts as such."""
    given = function.get("arguments")
    for key in OTHER_ARGUMENTS:
        if function.get(key):
            raise Reject("not_a_pair", f"{name}.{key} is not read; name it arguments.")
    if given is None or given == "":
        return {}
    if isinstance(given, dict):
        return exact(given, f"{name}.arguments")
    held = text(given, f"{name}.arguments")
    try:
        found = exact(json.loads(held, object_pairs_hook=_unique), name)
    except (ValueError, RecursionError):  # `Reject` too: the text keeps what an object would not
        return held
    return found if isinstance(found, dict) else held


def _unique(pairs: list[tuple[str, Any]]) -> dict[str, Any]:
    """An object; raises ValueError if a key occurs twice, because the first would be lost."""
    found = dict(pairs)
    if len(found) != len(pairs):
        raise ValueError("a key occurs twice")
    return found


def _from_json(value: Any, name: str) -> Any:
    """The value, or what it spells in JSON; raises `Reject` if a text spells none."""
    if not isinstance(value, str):
        return value or None
    if not value.strip():
        return None
    try:
        return orjson.loads(value)
    except ValueError as error:
        raise Reject("not_a_pair", f"{name} is text that is no JSON.") from error
