"""Tools in templates: rendered by the model's own, refused by one that leaves them out."""

import json
from pathlib import Path
from typing import Any

import pytest

from orpo.contract.methods import parse_method
from orpo.rows.formats import Message, Pair
from orpo.rows.tools import ToolCall
from orpo.run import probe
from orpo.tokens import rendered
from orpo.tokens.templates import load_tokenizer, render
from orpo.tokens.tokenize import tokenize_pairs
from tests.orpo.reasoning_templates import GEMMA, GPT_OSS, GRANITE, LLAMA, QWEN3, R1
from tests.orpo.tiny_models import CHATML, tokenizer
from tests.orpo.tiny_run import Bench, checkpoint, write_base

TOOL = {
    "type": "function",
    "function": {
        "name": "weather",
        "description": "Says how the weather is.",
        "parameters": {
            "type": "object",
            "properties": {"city": {"type": "string"}},
            "required": ["city"],
        },
    },
}


def user(text: str) -> Message:
    return Message(role="user", content=text)


def said(content: str) -> Message:
    return Message(role="assistant", content=content)


def calling(arguments: Any) -> Message:
    call = ToolCall(type="function", function={"name": "weather", "arguments": arguments})
    return Message(role="assistant", content="", tool_calls=[call])


CALLING = calling({"city": "Rome"})
RESULT = Message(role="tool", content='{"sky": "blue", "degrees": 22}')
ASKS = [user("Weather in Rome?")]
# The answers are calls; follow a result; hold a call, its result and the last word.
CALLS = Pair(1, ASKS, [CALLING], [said("No idea.")], [TOOL])
AFTER = Pair(2, [*ASKS, CALLING, RESULT], [said("Blue.")], [said("Grey.")], [TOOL])
WHOLE = Pair(3, ASKS, [CALLING, RESULT, said("Blue.")], [said("No idea.")], [TOOL])
PAIRS = [CALLS, AFTER, WHOLE]


def tokens(pairs: list[Pair], template: str, **settings: Any) -> Any:
    return tokenize_pairs(pairs, tokenizer(template), parse_method("orpo", settings))


@pytest.mark.parametrize("turns", ["last", "all"])
@pytest.mark.parametrize("template", [QWEN3, GPT_OSS, GRANITE, LLAMA])
def test_tools_are_rendered_by_the_template_and_results_never_trained(
    template: str, turns: str
) -> None:
    examples, dropped, stats = tokens(PAIRS, template, turns=turns)
    assert not dropped
    assert stats["with_tools"] == 3
    tok = tokenizer(template)
    for pair, example in zip(PAIRS, examples, strict=True):
        whole = tok.decode([*example.prefix, *example.chosen])
        for words in ("weather", "Says how the weather is.", "city", "Rome"):
            assert words in whole
        engine = render(tok, pair.prompt, True, None, pair.tools)
        assert example.prefix == engine[: len(example.prefix)]
        assert len(example.prefix) >= len(engine) - 1  # two line breaks may become other tokens
        masked = zip(
            [*example.prefix, *example.chosen],
            [*example.prefix_mask, *example.chosen_mask],
            strict=True,
        )
        trained = tok.decode([token for token, is_trained in masked if is_trained])
        assert "sky" not in trained
        assert trained.endswith("<|im_end|>")
        assert ("Rome" in trained) is (pair is CALLS or turns == "all")
        assert ("Blue." in trained) is (pair is not CALLS)


def test_a_trained_call_ends_with_its_turn() -> None:
    (example,), *_ = tokens([WHOLE], QWEN3, turns="all")
    tok = tokenizer(QWEN3)
    trained = [t for t, on in zip(example.chosen, example.chosen_mask, strict=True) if on]
    text = tok.decode(trained)
    assert text.count("<|im_end|>") == 2
    assert "</tool_call><|im_end|>" in text
    assert "tool_response" not in text


@pytest.mark.parametrize(
    ("template", "missing"),
    [
        (CHATML, "the definition"),
        (R1, "the definition"),
        (GEMMA, "the definition"),
        (QWEN3.replace("{{ tool | tojson }}", "{{ tool.function.name }}"), "the description"),
        (QWEN3.replace("{{ tool | tojson }}", "{{ tool.function.name }}"
                       "{{ tool.function.description }}"), "the parameter `city`"),
        (QWEN3.replace("in m.tool_calls or []", "in []"), "a call of the tool `weather`"),
        (QWEN3.replace("{{ call.function.arguments | tojson }}", "{}"), "an argument"),
        (QWEN3.replace("<tool_response>\n{{ m.content }}", "<tool_response>\n"), "the result"),
    ],
)  # fmt: skip
def test_a_template_that_leaves_tools_out_refuses_the_row(template: str, missing: str) -> None:
    _, dropped, stats = tokens([WHOLE], template)
    assert dropped == {"tools": 1}
    assert missing in stats["reasons"]["tools"]["message"]


@pytest.mark.parametrize("template", [CHATML, GEMMA])
def test_a_short_result_that_occurs_elsewhere_is_missed_nonetheless(template: str) -> None:
    hides = template.replace("m in messages", "m in messages if m.role != 'tool'")
    result = Message(role="tool", content="Rome")
    pair = Pair(1, [*ASKS, said("I look."), result], [said("Blue.")], [said("Grey.")])
    _, dropped, stats = tokens([pair], hides)
    assert dropped == {"tools": 1}
    assert "the result" in stats["reasons"]["tools"]["message"]


def test_a_template_that_refuses_tools_says_so() -> None:
    two = calling({"city": "Rome"})
    two["tool_calls"] = [*two.get("tool_calls", []), *CALLING.get("tool_calls", [])]
    _, dropped, stats = tokens([Pair(1, ASKS, [two], [said("No.")], [TOOL])], LLAMA)
    assert dropped == {"template": 1}
    assert "single tool-calls" in stats["reasons"]["template"]["message"]


def test_a_template_that_takes_certain_names_only_is_checked_by_the_real_texts() -> None:
    strict = QWEN3.replace(
        "<tool_call>\n{",
        "{% if call.function.name != 'weather' %}{{ raise_exception('unknown') }}{% endif %}"
        "<tool_call>\n{",
    )
    assert strict != QWEN3
    assert not tokens([WHOLE], strict)[1]
    assert tokens([WHOLE], strict.replace("{{ m.content }}\n</tool", "</tool"))[1] == {"tools": 1}


def test_calls_of_a_rejected_answer_are_checked_too() -> None:
    pair = Pair(1, ASKS, [said("No idea.")], [CALLING])
    assert tokens([pair], CHATML)[1] == {"tools": 1}
    assert not tokens([pair], QWEN3)[1]


def spoilt(text: str) -> list[Pair]:
    """Pairs that hold a text in each place that a tool, a call or a thought has."""
    tool = json.loads(json.dumps(TOOL).replace("Says how", text))
    schema = json.loads(json.dumps(TOOL).replace('"city"', json.dumps(text)))
    named, thinking = dict(RESULT), dict(said("Blue."))
    named["name"], thinking["reasoning_content"] = text, text
    after: Any = [*ASKS, CALLING, named]
    thought: Any = [thinking]
    no = [said("No.")]
    return [
        Pair(1, ASKS, [calling({"city": text})], no, [TOOL]),
        Pair(2, ASKS, [calling({text: "Rome"})], no, [TOOL]),
        Pair(3, ASKS, [calling(text)], no, [TOOL]),
        Pair(4, [*ASKS, CALLING, Message(role="tool", content=text)], [said("A")], no, [TOOL]),
        Pair(5, ASKS, [CALLING], no, [tool]),
        Pair(6, ASKS, [CALLING], no, [schema]),
        Pair(7, after, [said("A")], no, [TOOL]),
        Pair(8, ASKS, thought, no),
    ]


@pytest.mark.parametrize("pair", spoilt("a<|im_end|>"))
def test_special_strings_are_found_in_every_place(pair: Pair) -> None:
    assert tokens([pair], QWEN3)[1] == {"special_token": 1}
    (example,), dropped, _ = tokens([pair], QWEN3, special_tokens="escape")
    assert not dropped
    assert example.chosen


@pytest.mark.parametrize("pair", spoilt("plain"))
def test_the_same_places_take_plain_text(pair: Pair) -> None:
    assert not tokens([pair], QWEN3)[1]


def test_an_engine_s_order_of_keys_is_the_trainer_s() -> None:
    """As vLLM 0.32 hands them to a template."""
    shows = "{{ messages[0].tool_calls | tojson }}{{ tools | tojson }}"
    bare = {"type": "function", "function": {"parameters": {}, "name": "f"}}
    text = str(tokenizer(shows).decode(render(tokenizer(shows), [CALLING], False, None, [bare])))
    assert text == (
        '[{"function": {"arguments": {"city": "Rome"}, "name": "weather"}, "type": "function"}]'
        '[{"type": "function", "function": {"name": "f", "description": null, "parameters": {}}}]'
    )


# --- probes ---------------------------------------------------------------------------------------


def test_a_probe_has_a_prompt_with_tools_where_the_pairs_have_some() -> None:
    plain = [Pair(n, [user(f"q{n}")], [said("a")], [said("b")]) for n in range(10, 15)]
    tok = tokenizer(QWEN3)
    found = probe.choose([*plain, CALLS, AFTER], tok, 2048)
    assert [prompt.tools for prompt in found] == [None, [TOOL]]
    assert found[1].prompt_token_ids == render(tok, ASKS, True, None, [TOOL])
    assert found[1].completion_token_ids
    refused = probe.choose([*plain, CALLS], tokenizer(), 2048)
    assert [prompt.tools for prompt in refused] == [None, None]
    (other,) = probe.choose([AFTER], tok, 2048)
    sent = json.loads(json.dumps(probe._as_json(other)))["messages"]
    (call,) = sent[1]["tool_calls"]
    assert call["function"]["arguments"] == '{"city":"Rome"}'
    assert call["id"] == sent[2]["tool_call_id"] == "call00000"
    assert probe.prompt_of({**probe._as_json(other), "logprobs": []}) == other
    # Engines change arguments that are no object.
    text = Pair(1, [*ASKS, calling("Rome"), RESULT], [said("a")], [said("b")], [TOOL])
    assert not probe.choose([text], tok, 2048)


def test_a_run_on_tools_records_them_in_its_probe(bench: Bench, tmp_path: Path) -> None:
    rows = [json.loads(line) for line in bench.train_path.read_text().splitlines()]
    for each in rows[::2]:
        each["tools"] = [TOOL]
    path = tmp_path / "tools.jsonl"
    path.write_text("".join(json.dumps(each) + "\n" for each in rows))
    base = write_base(tmp_path / "base", template=QWEN3)
    run = bench.run("run", base=base, train_path=path, max_steps=1, n_samples=2, max_length=512)
    saved = checkpoint(run, 1)
    prompts = json.loads((saved / "probe.json").read_text())["prompts"]
    with_tools = [prompt for prompt in prompts if "tools" in prompt]
    assert [prompt["tools"] for prompt in with_tools] == [[TOOL]]
    assert all({"on", "off"} == prompt["thinking"].keys() for prompt in prompts)
    assert len(probe.read(saved)) == len(prompts)
    assert rendered.rendered(base, saved / "probe.json", [])["as_recorded"]
    tok = load_tokenizer(base)
    (prompt,) = with_tools
    assert prompt["prompt_token_ids"] == render(tok, prompt["messages"], True, None, [TOOL])
