"""Token ids of trainer and engine: with tools, with thinking on and off, and where they differ."""

import pytest

from models.deployments import DeploymentStatus
from services.platform.database import transaction
from services.serving import deployments
from services.serving.engines import Address
from tests.serving import fake_vllm
from tests.serving.conftest import CALLER
from tests.serving.test_certificates import look_again
from workers.engine_client import EngineClient

READY, FAILED = DeploymentStatus.READY, DeploymentStatus.FAILED
TOKENS = fake_vllm.TOKENS
TOOL = {"type": "function", "function": {"name": "f", "parameters": {"type": "object"}}}
ON, OFF = [1, 5], [1, 6, 6]
QWEN3 = (
    r"{% if tools %}<tool_call>{\"name\": .., \"arguments\": ..}</tool_call>{% endif %}"
    "{{ message.reasoning_content }}{% if enable_thinking %}<think>{% endif %}"
)


def deployed(serving, base: str, **probed):
    (deployment,) = serving.settle(*serving.deploy(serving.tuned(base, **probed)))
    return deployment


def test_a_template_without_a_switch_or_tools_has_nothing_to_compare(serving):
    parity = deployed(serving, serving.base(template="{{ messages }}")).parity
    assert parity["token_ids_equal"] is True
    assert parity["thinking_ids_equal"] is parity["tools_ids_equal"] is None
    assert parity["difference"] is None
    assert parity["renders"] == {
        "tools": False, "reasoning": False, "enable_thinking": False, "tool_parser": None,
    }  # fmt: skip


def test_tools_and_both_positions_of_the_switch_are_compared(serving):
    base = serving.base(template=QWEN3, thinking_on=ON, thinking_off=OFF)
    thinking = {"on": [*ON, 7], "off": [*OFF, 7]}
    deployment = deployed(
        serving, base, tools=[TOOL], prompt_token_ids=[*TOKENS, 7], thinking=thinking
    )
    assert deployment.status == READY, serving.describe()
    parity = deployment.parity
    assert parity["token_ids_equal"] is parity["tools_ids_equal"] is True
    assert parity["thinking_ids_equal"] is True
    assert parity["renders"] == {
        "tools": True, "reasoning": True, "enable_thinking": True, "tool_parser": "hermes",
    }  # fmt: skip
    with transaction() as session:
        route = deployments.route(session, CALLER, deployment.model)
    assert route.renders
    assert route.renders.tool_parser == "hermes"
    assert look_again(serving, deployment.id).status == READY


@pytest.mark.parametrize("side", ["on", "off"])
def test_a_switch_that_the_engine_renders_in_another_way_fails(serving, side):
    base = serving.base(thinking_on=ON, thinking_off=OFF)
    thinking = {"on": ON, "off": OFF} | {side: [1, 9]}
    deployment = deployed(serving, base, thinking=thinking)
    assert (deployment.status, deployment.error["code"]) == (FAILED, "parity")
    assert "With thinking switched on or off" in deployment.error["message"]
    assert deployment.parity["token_ids_equal"] is True
    assert deployment.parity["thinking_ids_equal"] is False
    found = deployment.parity["difference"]
    assert (found["prompt"], found["of"], found["at"]) == (0, f"thinking_{side}", 1)


def test_tools_that_the_engine_renders_in_another_way_fail(serving):
    base = serving.base(tool_tokens=[8])
    deployment = deployed(serving, base, tools=[TOOL], prompt_token_ids=[*TOKENS, 7])
    assert deployment.status == FAILED
    assert deployment.parity["tools_ids_equal"] is False
    assert deployment.parity["difference"]["at"] == len(TOKENS)


def test_a_switch_beside_a_date_is_not_judged_on_another_day(serving, monkeypatch):
    """The trainer's tokens with the switch are known for the time of the training only."""
    run = {"as_recorded": True, "at": [[TOKENS], [TOKENS]]}
    monkeypatch.setattr("workers.parity.run_verb", lambda *_, **__: run)
    base = serving.base(thinking_on=[1, 9], thinking_off=OFF)
    thinking = {"on": ON, "off": OFF}
    monkeypatch.setattr("workers.parity.verify_weights", lambda _: "of-the-base")
    deployment = deployed(serving, base, thinking=thinking, rendered_at="2031-05-06T07:08:09+02:00")
    assert deployment.status == READY, serving.describe()
    assert deployment.parity["thinking_ids_equal"] is True  # of what could be decided: off


def test_the_first_difference_is_shown_from_both_sides(serving):
    trainer = [*range(100, 140)]
    engine = [*trainer[:30], 1, fake_vllm.UNKNOWN, *range(200, 240)]
    base = serving.base(tokens=engine)
    deployment = deployed(serving, base, prompt_token_ids=trainer)
    assert deployment.status == FAILED
    assert "shows the first tokens that differ" in deployment.error["message"]
    found = deployment.parity["difference"]
    assert (found["prompt"], found["of"], found["at"], found["start"]) == (0, "prompt", 30, 22)
    sides = {name: [token["id"] for token in found[name]] for name in ("trainer", "engine")}
    assert sides == {"trainer": trainer[22:], "engine": engine[22:42]}
    texts = {token["id"]: token["text"] for token in found["engine"]}
    # Postgres stores no NUL; a token that the engine does not know has no text.
    assert (texts[1], texts[fake_vllm.UNKNOWN]) == ("<1>\ufffd", "")


def test_a_side_that_ends_first_shows_where(serving):
    deployment = deployed(serving, serving.base(), prompt_token_ids=[*TOKENS, 8])
    found = deployment.parity["difference"]
    assert (found["at"], found["start"]) == (3, 0)
    assert [token["id"] for token in found["trainer"]] == [*TOKENS, 8]
    assert [token["id"] for token in found["engine"]] == TOKENS


def test_a_difference_of_escaped_strings_is_no_matter_where_they_are_refused(serving):
    hostile = {"messages": [], "is_plain": True, "prompt_token_ids": [9]}
    deployment = deployed(serving, serving.base(), hostile=hostile)
    assert deployment.status == READY
    assert deployment.parity["escaped_ids_equal"] is False
    assert deployment.parity["difference"] is None


def test_an_engine_without_a_parser_says_so_in_the_certificate(serving):
    """As where an earlier release started it."""
    deployment = deployed(serving, serving.base(template=QWEN3, parses_no_calls=True))
    assert deployment.status == READY
    assert deployment.parity["renders"]["tools"] is True
    assert deployment.parity["renders"]["tool_parser"] is None


def test_messages_reach_the_engine_as_all_of_its_paths_read_them(monkeypatch):
    """vLLM's /tokenize drops `reasoning_content`, and wants ids of calls and arguments as text."""
    asked = []
    monkeypatch.setattr(
        EngineClient, "_call", lambda _, *call, **__: asked.append(call) or {"tokens": [1]}
    )
    call = {"function": {"name": "f", "arguments": {"ü": [1]}}}
    said = {"role": "assistant", "content": "", "reasoning_content": "Hm.", "tool_calls": [call]}
    client = EngineClient(Address("http://engine"))
    client.tokenize("m", [said], [TOOL], thinking=False)
    ((_, path, body),) = asked
    assert path == "/tokenize"
    assert body["tools"] == [TOOL]
    assert body["chat_template_kwargs"] == {"enable_thinking": False}
    assert body["messages"] == [
        {
            "role": "assistant",
            "content": "",
            "reasoning": "Hm.",
            "tool_calls": [
                {
                    "id": "call_0",
                    "type": "function",
                    "function": {"name": "f", "arguments": '{"ü": [1]}'},
                }
            ],
        }
    ]
    assert "reasoning_content" in said  # the probe itself is not changed
