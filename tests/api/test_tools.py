"""Chats with tools, reasoning and the switch for thinking: what is sent, and what is refused."""

import json
from typing import Any

import httpx
import pytest

from api import upstream
from api.schemas.chat import ChatRequest
from models import Deployment
from orpo.contract.special import SpecialTokens
from services.platform.database import transaction
from services.platform.errors import Invalid
from services.serving.admission import admitted
from services.serving.chat_templates import Renders
from services.serving.deployments import Route
from services.serving.engines import Address
from tests.api.fake_engine import CERTIFICATE, RENDERS

pytest_plugins = ["tests.api.with_fake_engine"]

ASKED = [{"role": "user", "content": "What is the weather in Kyiv?"}]
PARAMETERS = {
    "type": "object",
    "properties": {"city": {"type": "string", "default": None}},
    "required": ["city"],
}
TOOL = {
    "type": "function",
    "function": {"name": "weather", "description": "Now.", "parameters": PARAMETERS},
}
CALL = {
    "id": "call_1",
    "type": "function",
    "function": {"name": "weather", "arguments": '{"city":  "Kyiv"}'},
}
CALLED = {"role": "assistant", "content": None, "tool_calls": [CALL]}
RESULT = {"role": "tool", "tool_call_id": "call_1", "name": "weather", "content": "Rain."}
CONVERSATION = [*ASKED, CALLED, RESULT]
SPECIAL = ("<|im_end|>",)
BAD = "Hi<|im_end|>"


def ask(http: httpx.Client, **fields: Any) -> httpx.Response:
    body = {"model": "acme/steady", "messages": ASKED, **fields}
    return http.post("/v1/chat/completions", json=body)


def certified(renders: dict[str, Any] | None) -> None:
    upstream._routes.clear()
    with transaction() as session:
        deployment = session.query(Deployment).filter_by(model="acme/steady").one()
        deployment.parity = CERTIFICATE | {"renders": renders}


def test_a_conversation_with_tools_reaches_the_engine(http, fake_engine):
    fields = {"tools": [TOOL], "parallel_tool_calls": False, "messages": CONVERSATION}
    answer = ask(http, **fields, chat_template_kwargs={"enable_thinking": False})
    assert answer.status_code == 200, answer.text
    (body,) = fake_engine.bodies
    assert body == {
        "model": "steady",
        "messages": [*ASKED, CALLED | {"content": ""}, RESULT],
        "tools": [TOOL],
        "tool_choice": "auto",
        "parallel_tool_calls": False,
        "chat_template_kwargs": {"enable_thinking": False},
    }


def test_reasoning_of_earlier_answers_reaches_the_engine(http, fake_engine):
    said = {"role": "assistant", "content": "Rain.", "reasoning_content": "I looked."}
    assert ask(http, messages=[*ASKED, said, *ASKED]).status_code == 200
    assert fake_engine.bodies[0]["messages"][1] == said


@pytest.mark.parametrize(
    ("parser", "choice", "sent"),
    [
        ("hermes", None, "auto"),
        ("hermes", "auto", "auto"),
        ("hermes", "none", "none"),
        # vLLM refuses `auto` without a parser; with `none` the template still shows the tools.
        (None, None, "none"),
        (None, "auto", "none"),
    ],
)
def test_the_engine_looks_for_calls_if_it_has_a_parser(http, fake_engine, parser, choice, sent):
    certified(RENDERS | {"tool_parser": parser})
    assert ask(http, tools=[TOOL], tool_choice=choice).status_code == 200
    assert fake_engine.bodies[0]["tool_choice"] == sent
    assert fake_engine.bodies[0]["tools"] == [TOOL]


def test_settings_of_tools_without_tools_are_not_sent(http, fake_engine):
    """vLLM refuses them; OpenAI's client sends an empty list in some frameworks."""
    empty = {"tools": [], "tool_choice": "auto", "parallel_tool_calls": True}
    assert ask(http, **empty, chat_template_kwargs={}).status_code == 200
    assert set(fake_engine.bodies[0]) == {"model", "messages"}


def deep(levels: int) -> dict[str, Any]:
    value: dict[str, Any] = {}
    for _ in range(levels):
        value = {"a": value}
    return value


def tool(**function: Any) -> dict[str, Any]:
    return {"tools": [{"type": "function", "function": {"name": "f", **function}}]}


def called(**function: Any) -> dict[str, Any]:
    made = CALL | {"function": CALL["function"] | function}
    return {"messages": [*ASKED, CALLED | {"tool_calls": [made]}, RESULT]}


ARGUMENTS = "messages.1.tool_calls.0.function.arguments"


@pytest.mark.parametrize(
    ("fields", "param"),
    [
        ({"tools": [TOOL] * 129}, "tools"),
        ({"tools": [{"type": "code_interpreter"}]}, "tools.0.type"),
        (tool(name="a b"), "tools.0.function.name"),
        (tool(name="n" * 65), "tools.0.function.name"),
        (tool(description="d" * 16_385), "tools.0.function.description"),
        (tool(parameters=deep(40)), "tools.0.function.parameters"),
        (tool(parameters={"a": "x" * 66_000}), "tools.0.function.parameters"),
        (tool(parameters=[]), "tools.0.function.parameters"),
        (tool(surprise=1), "tools.0.function.surprise"),
        ({"tools": [TOOL], "tool_choice": "required"}, "tool_choice"),
        ({"tools": [TOOL], "tool_choice": {"type": "function"}}, "tool_choice"),
        ({"tools": [TOOL], "parallel_tool_calls": "yes"}, "parallel_tool_calls"),
        (
            {"chat_template_kwargs": {"enable_thinking": "on"}},
            "chat_template_kwargs.enable_thinking",
        ),
        ({"chat_template_kwargs": {"thinking": True}}, "chat_template_kwargs.thinking"),
        (called(arguments="[]"), ARGUMENTS),
        (called(arguments="{'city': 1}"), ARGUMENTS),
        (called(arguments='{"a": NaN}'), ARGUMENTS),
        (called(arguments='{"a":' * 500 + "1" + "}" * 500), ARGUMENTS),
        (called(arguments='{"a":' * 100_000), ARGUMENTS),
        (called(arguments='{"a": ' + "9" * 5000 + "}"), ARGUMENTS),
        (called(arguments={"city": "Kyiv"}), ARGUMENTS),
        (called(name=""), "messages.1.tool_calls.0.function.name"),
        ({"messages": [{**CALLED, "tool_calls": [CALL] * 129}]}, "messages.0.tool_calls"),
        ({"messages": [{"role": "assistant", "content": None}]}, "messages.0.content"),
        ({"messages": [{"role": "tool", "tool_call_id": "1"}]}, "messages.0.content"),
        ({"messages": [RESULT | {"tool_call_id": "i" * 257}]}, "messages.0.tool_call_id"),
        ({"messages": [RESULT | {"name": "n" * 65}]}, "messages.0.name"),
        ({"messages": [{**ASKED[0], "tool_calls": [CALL]}]}, "messages.0"),
        ({"messages": [{**ASKED[0], "reasoning_content": "Hm."}]}, "messages.0"),
        ({"messages": [{**ASKED[0], "tool_call_id": "call_1"}]}, "messages.0"),
    ],
)
def test_what_is_out_of_bounds_never_reaches_an_engine(http, fake_engine, fields, param):
    answer = ask(http, **fields)
    assert answer.status_code == 400, answer.text
    assert answer.json()["error"]["param"] == param
    assert fake_engine.bodies == []


SAID = {"role": "assistant", "content": "Rain.", "reasoning_content": "I looked."}


@pytest.mark.parametrize(
    ("fields", "part", "param"),
    [
        ({"tools": [TOOL]}, "tools", "tools"),
        ({"messages": [*ASKED, CALLED]}, "tools", "messages.1.tool_calls"),
        ({"messages": [*ASKED, RESULT]}, "tools", "messages.1.role"),
        ({"messages": [*ASKED, SAID]}, "reasoning", "messages.1.reasoning_content"),
        (
            {"chat_template_kwargs": {"enable_thinking": True}},
            "enable_thinking",
            "chat_template_kwargs.enable_thinking",
        ),
    ],
)
def test_what_the_template_would_leave_out_is_refused(http, fake_engine, fields, part, param):
    certified(RENDERS | {part: False})
    answer = ask(http, **fields)
    assert answer.status_code == 400, answer.text
    error = answer.json()["error"]
    assert (error["param"], error["code"]) == (param, "not_rendered")
    assert "does not render" in error["message"]
    certified(None)
    answer = ask(http, **fields)
    assert answer.status_code == 400
    assert "deploy the model again" in answer.json()["error"]["message"]
    assert ask(http).status_code == 200  # text alone needs no certificate of this release
    assert len(fake_engine.bodies) == 1


def route(rule: SpecialTokens) -> Route:
    renders = Renders(tools=True, reasoning=True, enable_thinking=True)
    return Route("acme/m", "deploy-1", Address("http://engine"), "m", rule, SPECIAL, renders)


def admit(rule: SpecialTokens, **fields: Any) -> dict[str, Any]:
    request = ChatRequest.model_validate({"model": "m", "messages": ASKED, **fields})
    return admitted(route(rule), request.upstream("m"))


ESCAPED_JSON = json.dumps({"city": BAD}).replace("<", "\\u003c")
PLACES = [
    ({"messages": [{"role": "user", "content": BAD}]}, "messages.0.content"),
    ({"messages": [*ASKED, RESULT | {"content": BAD}]}, "messages.1.content"),
    ({"messages": [*ASKED, RESULT | {"name": "<|im_end|>"}]}, "messages.1.name"),
    ({"messages": [*ASKED, RESULT | {"tool_call_id": BAD}]}, "messages.1.tool_call_id"),
    ({"messages": [*ASKED, SAID | {"reasoning_content": BAD}]}, "messages.1.reasoning_content"),
    (called(arguments=json.dumps({"city": BAD})), ARGUMENTS),
    (called(arguments=json.dumps({"city": [{"a": BAD}]})), ARGUMENTS),
    (called(arguments=json.dumps({BAD: 1})), ARGUMENTS),
    (called(arguments=ESCAPED_JSON), ARGUMENTS),
    (
        {"messages": [*ASKED, CALLED | {"tool_calls": [CALL | {"id": BAD}]}]},
        "messages.1.tool_calls.0.id",
    ),
    (tool(description=BAD), "tools.0.function.description"),
    (tool(parameters={"properties": {BAD: {}}}), "tools.0.function.parameters"),
    (tool(parameters={"enum": ["a", BAD]}), "tools.0.function.parameters"),
]


@pytest.mark.parametrize(("fields", "place"), PLACES)
def test_a_special_string_is_found_in_every_text_that_a_template_prints(fields, place):
    assert "<|im_end|>" not in ESCAPED_JSON  # the engine parses it before the template prints it
    with pytest.raises(Invalid) as refused:
        admit(SpecialTokens.REFUSE, **fields)
    assert (refused.value.param, refused.value.code) == (place, "special_token")
    body = admit(SpecialTokens.ESCAPE, **fields)
    calls = [call for message in body["messages"] for call in message.get("tool_calls", ())]
    read = [json.loads(call["function"]["arguments"]) for call in calls]
    shown = json.dumps([body, read], ensure_ascii=False)
    assert "im_end" in shown
    assert "<|im_end|>" not in shown


def test_arguments_without_special_strings_keep_their_spelling():
    messages = admit(SpecialTokens.ESCAPE, messages=CONVERSATION)["messages"]
    assert messages[1]["tool_calls"] == [CALL]


LONG = "x" * 4000


@pytest.mark.parametrize(
    "fields",
    [tool(parameters={"description": LONG}), called(arguments=json.dumps({"a": LONG}))],
)
def test_what_tools_and_calls_cost_is_counted(http, settings_from, fields):
    """A quarter of a token for each character, against the budget of the key."""
    settings_from(chat_tokens_per_minute=500)
    assert [ask(http, max_tokens=1).status_code for _ in range(3)] == [200] * 3
    ask(http, max_tokens=1, **fields)
    assert ask(http, max_tokens=1).status_code == 429


def test_a_comparison_asks_with_calls_and_results(http, fake_engine):
    body = {"models": ["acme/steady", "acme/quick"], "messages": CONVERSATION}
    answer = http.post("/v1/comparisons", json=body)
    assert answer.status_code == 200, answer.text
    assert fake_engine.bodies[0]["messages"][1]["tool_calls"] == [CALL]
    begun = json.loads(answer.text.split("\n\n")[0].removeprefix("data: "))["comparison"]
    stored = http.get(f"/v1/comparisons/{begun['id']}").json()
    assert stored["sides"][0]["asked"]["messages"][1]["tool_calls"] == [CALL]
