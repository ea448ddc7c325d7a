"""Tools and reasoning in rows: every form reaches one normal form, and no key is lost."""

import json
from pathlib import Path
from typing import Any

import pytest

from orpo.rows.columns import Remark
from orpo.rows.formats import Message, Pair, detect, read, validate
from orpo.rows.messages import as_request, as_text, message, with_ids
from tests.orpo.test_columns import EACH, refused
from tests.orpo.test_columns import pair_of as pair_of_row
from tests.orpo.test_formats import BAD, EXPLICIT, GOOD, OPENAI, WHOLE, U

FUNCTION = {
    "name": "weather",
    "description": "Says how the weather is.",
    "parameters": {"type": "object", "properties": {"city": {"type": "string"}}},
}
TOOL = {"type": "function", "function": FUNCTION}
CALLED = {"name": "weather", "arguments": {"city": "Rome"}}
CALL = {"type": "function", "function": CALLED}
CALLING: Any = {"role": "assistant", "content": "", "tool_calls": [CALL]}
RESULT = Message(role="tool", content='{"sky": "blue"}')
THOUGHT = {"type": "thinking", "thinking": "Hm.", "signature": "x"}
SPELLED = {**CALLED, "arguments": '{"city": "Rome"}'}


def explicit(chosen: Any, **columns: Any) -> dict[str, Any]:
    return {**EXPLICIT, "chosen": chosen, **columns}


@pytest.mark.parametrize("value", EACH)
@pytest.mark.parametrize(
    ("key", "held"),
    [
        ("tools", [TOOL]),
        ("tools", json.dumps([TOOL])),
        ("tools", [FUNCTION]),
        ("tools", json.dumps([FUNCTION])),
        ("functions", [FUNCTION]),
    ],
)
def test_tools_of_every_shape_reach_one_form(value: dict[str, Any], key: str, held: Any) -> None:
    pair = pair_of_row({**value, key: held})
    assert pair.tools == [TOOL]
    assert Pair.from_json(json.loads(json.dumps(pair.to_json()))) == pair
    assert pair_of_row({**value, key: type(held)()}).tools is None


def test_tools_of_the_input() -> None:
    for key, held in (("tools", [TOOL]), ("functions", [FUNCTION])):
        value = {**OPENAI, "input": {"messages": [U], key: held, "parallel_tool_calls": True}}
        shape = detect(value)
        assert shape
        pair, remarks = read(value, shape, 1)
        assert pair.tools == [TOOL]
        assert not remarks
        assert "differ" in refused({**value, "tools": [{"name": "other"}]})


def test_rows_of_older_files_have_no_tools() -> None:
    old = {"line": 3, "prompt": [U], "chosen": [GOOD], "rejected": [BAD]}
    assert Pair.from_json(old) == Pair(3, [U], [GOOD], [BAD])
    assert Pair.from_json(old).to_json() == old


@pytest.mark.parametrize(
    "turn",
    [
        CALLING,
        {"role": "assistant", "content": None, "tool_calls": [CALL]},
        {"role": "assistant", "tool_calls": [{**CALL, "index": 0}]},
        {"role": "assistant", "content": "", "tool_calls": [{**CALL, "function": SPELLED}]},
        {"role": "assistant", "content": "", "tool_calls": json.dumps([CALL])},
        {"role": "assistant", "content": "", "tool_calls": [CALLED]},
        {"role": "assistant", "content": None, "function_call": SPELLED},
        {"from": "function_call", "value": json.dumps(SPELLED)},
        {"from": "tool_call", "value": json.dumps([CALLED])},
    ],
)
def test_calls_of_every_form(turn: dict[str, Any]) -> None:
    assert pair_of_row(explicit([turn])).chosen == [CALLING]


@pytest.mark.parametrize(
    "turn",
    [
        RESULT,
        {"role": "tool", "content": [{"type": "text", "text": '{"sky": "blue"}'}]},
        {"from": "observation", "value": '{"sky": "blue"}'},
        {"from": "tool_response", "value": '{"sky": "blue"}'},
    ],
)
def test_results_of_every_form(turn: dict[str, Any]) -> None:
    pair = pair_of_row(explicit([CALLING, turn, GOOD]))
    assert pair.chosen == [CALLING, RESULT, GOOD]
    assert pair_of_row({**EXPLICIT, "prompt": [U, CALLING, turn]}).prompt == [U, CALLING, RESULT]


def test_ids_and_names_are_kept() -> None:
    call = {**CALLING, "tool_calls": [{"id": "call-1", **CALL}]}
    result = {"role": "function", "name": "weather", "tool_call_id": "call-1", "content": ""}
    pair = pair_of_row(explicit([call, result, GOOD]))
    assert pair.chosen[0] == call
    assert pair.chosen[1] == {**result, "role": "tool"}


@pytest.mark.parametrize(
    ("given", "kept"),
    [
        ("", {}),
        (None, {}),
        ("{}", {}),
        ("[1]", "[1]"),
        ('{"a": ', '{"a": '),
        ('{"a": 1, "a": 2}', '{"a": 1, "a": 2}'),
        ('{"a": NaN}', '{"a": NaN}'),
        (f'{{"a": {2**70}}}', f'{{"a": {2**70}}}'),
        ('{"a": "\\u0000"}', '{"a": "\\u0000"}'),
        ("[" * 100_000, "[" * 100_000),
    ],
)
def test_arguments_become_an_object_where_nothing_is_lost(given: Any, kept: Any) -> None:
    turn = {**CALLING, "tool_calls": [{"function": {"name": "f", "arguments": given}}]}
    (call,) = pair_of_row(explicit([turn])).chosen[0].get("tool_calls", [])
    assert call["function"]["arguments"] == kept


def deep(levels: int) -> Any:
    return {"a": deep(levels - 1)} if levels else 1


@pytest.mark.parametrize(
    ("turn", "words"),
    [
        ({**CALLING, "tool_calls": [{"type": "custom", "custom": {}}]}, "only functions"),
        ({**CALLING, "tool_calls": [{"function": {"arguments": {}}}]}, "no name"),
        ({**CALLING, "tool_calls": [{"name": "f", "input": {"a": 1}}]}, "name it arguments"),
        ({**CALLING, "tool_calls": [3]}, "a tool call was expected"),
        ({**CALLING, "tool_calls": "weather"}, "no JSON"),
        ({**CALLING, "tool_calls": [{"function": {"name": "f", "arguments": 3}}]}, "text was"),
        ({**CALLING, "tool_calls": [{**CALL, "function": {"name": "f", "arguments": deep(150)}}]},
         "too deeply"),
        ({**CALLING, "tool_calls": [{"name": "f", "arguments": {"a": 1e300}}]}, "exactly"),
        ({**CALLING, "tool_calls": [{"name": "f", "arguments": {"a\0": 1}}]}, "NUL"),
        ({**CALLING, "function_call": CALLED}, "two forms"),
        ({"from": "function_call", "value": "weather(Rome)"}, "no JSON"),
        ({**GOOD, "tool_call_id": "call-1"}, "role tool"),
        ({**GOOD, "reasoning": "a", "thinking": "b"}, "two thoughts"),
        ({**GOOD, "reasoning": ["a"]}, "text was expected"),
        ({**GOOD, "weight": 0.5}, "neither 0 nor 1"),
        ({**GOOD, "content": [{"type": "text", "text": "a"}, THOUGHT]}, "after its text"),
        ({**GOOD, "content": [{"type": "tool_use", "name": "f"}]}, "not text"),
    ],
)  # fmt: skip
def test_what_is_not_certain_is_refused(turn: dict[str, Any], words: str) -> None:
    assert words in refused(explicit([turn]))
    assert words in refused({**EXPLICIT, "prompt": [U, turn, U]})


@pytest.mark.parametrize(
    ("tools", "words"),
    [
        ([1], "a tool was expected"),
        ("weather", "no JSON"),
        ({"weather": 1}, "a list of tools"),
        ([{"type": "web_search"}], "only functions"),
        ([{"type": "function", "function": None}], "not an object"),
        ([{"function": {"description": "x"}}], "no name"),
        ([{"name": "f", "parameters": [1]}], "JSON schema"),
        ([{"name": "f", "parameters": deep(150)}], "too deeply"),
    ],
)
def test_tools_that_can_not_be_read_are_refused(tools: Any, words: str) -> None:
    assert words in refused({**EXPLICIT, "tools": tools})


def test_only_assistants_call_and_think() -> None:
    for extra in ({"tool_calls": [CALL]}, {"reasoning": "Hm."}):
        assert "only assistant" in refused({**EXPLICIT, "prompt": [{**U, **extra}]})


def test_an_answer_begins_and_ends_with_the_assistant() -> None:
    for answer in ([RESULT, GOOD], [CALLING, RESULT]):
        assert "begin and end" in refused({**OPENAI, "preferred_output": answer})
    assert "empty" in refused(explicit([{**GOOD, "content": " "}]))


@pytest.mark.parametrize("key", ["reasoning_content", "reasoning", "thinking", "thought"])
def test_thoughts_under_every_name(key: str) -> None:
    thinking = {**GOOD, "reasoning_content": "Hm."}
    assert pair_of_row(explicit([{**GOOD, key: "Hm."}])).chosen == [thinking]
    parts = [THOUGHT, {"type": "text", "text": "Because."}]
    assert pair_of_row(explicit([{"role": "assistant", "content": parts}])).chosen == [thinking]
    assert pair_of_row(explicit("<think>Hm.</think>Because.")).chosen == [
        {**GOOD, "content": "<think>Hm.</think>Because."}
    ]


def test_a_weight_of_zero_is_kept_and_one_left_out() -> None:
    first: Any = {**GOOD, "weight": 0}
    pair = pair_of_row(explicit([first, U, {**GOOD, "weight": 1}]))
    assert pair.chosen == [first, U, GOOD]
    # The model is not shown a weight, so the prompts of both sides are one.
    whole = {"chosen": [U, first, U, GOOD], "rejected": [U, GOOD, U, BAD]}
    assert pair_of_row(whole) == Pair(1, [U, first, U], [GOOD], [BAD])


def test_keys_of_tools_and_calls_are_remarked_on(tmp_path: Path) -> None:
    tool = {**TOOL, "x": 1, "function": {**FUNCTION, "strict": True, "y": 1}}
    call = {**CALL, "z": 1, "function": {**CALLED, "parsed": {"city": "Rome"}}}
    value = {**WHOLE, "chosen": [U, {**CALLING, "tool_calls": [call]}, RESULT, GOOD],
             "tools": [tool], "tool_choice": "auto"}  # fmt: skip
    path = tmp_path / "a.jsonl"
    path.write_text(json.dumps(value))
    report = validate(path, path.name, tmp_path / "out.jsonl")
    keys = ("tools[].x", "tools[].function.y", "tool_choice", "chosen[].tool_calls[].z",
            "chosen[].tool_calls[].function.parsed")  # fmt: skip
    assert set(report.remarks) == {Remark("unused_key", key) for key in keys}
    row = json.loads((tmp_path / "out.jsonl").read_text())
    assert row["tools"] == [{**TOOL, "function": {**FUNCTION, "strict": True}}]
    assert row["chosen"][0] == CALLING


def test_responses_that_are_not_read_crash_nothing() -> None:
    odd = {"role": "assistant", "content": "c", "tool_calls": [3, {"function": 4}]}
    value = {"prompt": "a", "responses": ["b", odd, "d"], "scores": [2, 1, 0]}
    assert pair_of_row(value).rejected == [{"role": "assistant", "content": "d"}]


def test_messages_beside_a_pair_must_hold_the_same_calls() -> None:
    value = explicit([CALLING, RESULT, GOOD])
    assert pair_of_row({**value, "messages": [U, CALLING, RESULT, GOOD]})
    other = {**CALLING, "tool_calls": [{"name": "other", "arguments": {}}]}
    assert "messages" in refused({**value, "messages": [U, other, RESULT, GOOD]})


def test_a_turn_as_a_request_is_read_back() -> None:
    thinking: Any = {**CALLING, "reasoning_content": "Hm.", "weight": 0}
    (turn, result) = with_ids([thinking, RESULT])
    sent = as_request(turn)
    assert sent["reasoning"] == "Hm."
    assert "weight" not in sent
    assert sent["tool_calls"][0]["id"] == result.get("tool_call_id") == "call00000"
    assert message(sent, "sent") == {key: held for key, held in turn.items() if key != "weight"}
    named: Any = {**CALLING, "tool_calls": [{**CALL, "id": "a"}, CALL]}
    ids = [with_ids([named, RESULT, RESULT, RESULT])[at].get("tool_call_id") for at in (1, 2, 3)]
    assert ids == ["a", "call00001", None]


def test_a_turn_as_text() -> None:
    assert as_text(GOOD) == "Because."
    thinking: Any = {**CALLING, "reasoning_content": "Hm."}
    assert as_text(thinking) == ('<think>Hm.</think>\nweather({"city":"Rome"})')
