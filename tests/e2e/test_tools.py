"""A tool-calling and a reasoning pair through the real stack: file, job, deployment, answer."""

import json
import subprocess
import sys
from pathlib import Path

import pytest

from tests.e2e.conftest import ROOT, register
from tests.e2e.test_loop import HYPERPARAMETERS, deploy
from tests.e2e.wait import wait_for

pytestmark = [pytest.mark.stack, pytest.mark.engine, pytest.mark.slow, pytest.mark.timeout(600)]

TOOL = {
    "type": "function",
    "function": {
        "name": "weather",
        "description": "The weather in a city.",
        "parameters": {"type": "object", "properties": {"city": {"type": "string"}}},
    },
}
CALL = {
    "id": "call_1",
    "type": "function",
    "function": {"name": "weather", "arguments": '{"city": "Kyiv"}'},
}
QUESTION = [{"role": "user", "content": "Is it raining in Kyiv?"}]
CALLED = {"role": "assistant", "content": None, "tool_calls": [CALL]}
RESULT = {"role": "tool", "tool_call_id": "call_1", "content": "light rain"}
THOUGHT = {"role": "assistant", "reasoning_content": "Seven and five.", "content": "Twelve."}


def said(text: str) -> dict[str, str]:
    return {"role": "assistant", "content": text}


# OpenAI's shape with tools: an answer that calls one, and an answer after the result. Then an
# answer with a thought.
ROWS = [
    {
        "input": {"messages": QUESTION, "tools": [TOOL]},
        "preferred_output": [{"role": "assistant", "tool_calls": [CALL]}],
        "non_preferred_output": [said("I can't know that.")],
    },
    {
        "input": {"messages": [*QUESTION, CALLED, RESULT], "tools": [TOOL]},
        "preferred_output": [said("Yes, a little.")],
        "non_preferred_output": [said("No.")],
    },
    {
        "prompt": [{"role": "user", "content": "What is 7 + 5?"}],
        "chosen": [THOUGHT],
        "rejected": [{**THOUGHT, "content": "Eleven."}],
    },
    {"prompt": "Name a colour.", "chosen": "Blue.", "rejected": "A colour."},
]


ARITHMETIC = [{"role": "user", "content": "What is 7 + 5?"}]
# What the tiny base knows before the job.
KNOWN = [
    {"messages": [*QUESTION, {**CALLED, "content": ""}], "tools": [TOOL]},
    {"messages": [*ARITHMETIC, THOUGHT], "tools": None},
]


@pytest.fixture(scope="module")
def thinker(stack, tmp_path_factory) -> str:
    """A tiny base with a template in the manner of Qwen3's, which calls the tool."""
    folder = tmp_path_factory.mktemp("thinker") / "thinker"
    command = [sys.executable, "-m", "tests.e2e.make_thinker", str(folder), json.dumps(KNOWN)]
    subprocess.run(command, cwd=ROOT, check=True)
    return register(stack, "thinker", folder)


def trained(stack, base: str, file_id: str) -> str:
    """The model that a short job makes of the file; the base's answers stay what they are."""
    client = stack.openai()
    # The base is stored in fp32, and the engine computes in it, too.
    settings = HYPERPARAMETERS | {"learning_rate": 1e-5, "n_samples": 0, "precision": "fp32"}
    job_id = client.fine_tuning.jobs.create(
        model=base,
        training_file=file_id,
        method={"type": "orpo", "orpo": {"hyperparameters": settings}},
    ).id

    def ended():
        job = client.fine_tuning.jobs.retrieve(job_id)
        return job if job.status in ("succeeded", "failed", "cancelled") else None

    job = wait_for(ended, 300, stack.logs)
    assert job.status == "succeeded", (job.error, stack.story(job_id), stack.logs())
    assert job.fine_tuned_model
    return job.fine_tuned_model


def certified(parity: dict) -> None:
    assert parity["token_ids_equal"] is parity["tools_ids_equal"] is True
    assert parity["thinking_ids_equal"] is True
    assert parity["difference"] is None
    assert parity["max_logprob_diff"] < 0.01
    assert parity["renders"] == {
        "tools": True, "reasoning": True, "enable_thinking": True, "tool_parser": "hermes",
    }  # fmt: skip


def test_tools_and_thoughts_are_trained_certified_and_served(
    stack, thinker: str, upload, tmp_path: Path
) -> None:
    path = tmp_path / "tools.jsonl"
    path.write_text("".join(json.dumps(row) + "\n" for row in ROWS * 2))
    model = trained(stack, thinker, upload(path))
    certified(deploy(stack, model)["parity"])
    client = stack.openai()

    def ask(messages: list, **fields):
        return client.chat.completions.create(
            model=model, messages=messages, temperature=0, **{"max_tokens": 120, **fields}
        )

    (choice,) = ask(QUESTION, tools=[TOOL]).choices
    assert choice.finish_reason == "tool_calls"
    (call,) = choice.message.tool_calls
    assert call.function.name == "weather"
    assert json.loads(call.function.arguments) == {"city": "Kyiv"}
    # The answer goes back as it came, with the result.
    said = choice.message.model_dump()
    result = RESULT | {"tool_call_id": call.id}
    (choice,) = ask([*QUESTION, said, result], tools=[TOOL]).choices
    assert choice.finish_reason
    (choice,) = ask(ARITHMETIC).choices
    assert choice.message.content == "<think>\nSeven and five.\n</think>\n\nTwelve."

    def prompt_tokens(messages: list, **fields) -> int:
        return ask(messages, max_tokens=1, **fields).usage.prompt_tokens

    # The tiny tokenizer reads bytes, so each of these shows how many characters were added.
    alone, tools = prompt_tokens(QUESTION), prompt_tokens(QUESTION, tools=[TOOL])
    assert tools - alone > len(json.dumps(TOOL))
    assert prompt_tokens(QUESTION, tools=[TOOL], tool_choice="none") == tools
    after = prompt_tokens([*QUESTION, CALLED, RESULT], tools=[TOOL])
    assert after - tools > len(RESULT["content"]) + len(CALL["function"]["arguments"])
    off = {"chat_template_kwargs": {"enable_thinking": False}}
    empty = "<think>\n\n</think>\n\n"
    assert prompt_tokens(QUESTION, extra_body=off) - alone == len(empty)
    # Thoughts of an answer after the last question are shown, as where a tool was called.
    thinking = [*QUESTION, {**CALLED, "reasoning_content": "Look."}, RESULT]
    assert prompt_tokens(thinking, tools=[TOOL]) - after == len("<think>\nLook.\n</think>\n\n")
