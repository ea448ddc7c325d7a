"""No key of a row is dropped silently: it is read, harmless or remarked on, or refuses the row."""

import contextlib
import json
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
from hypothesis import assume, given
from hypothesis import strategies as st

from orpo.rows import columns, messages, tools
from orpo.rows.formats import (
    Message,
    Pair,
    Reject,
    Report,
    Shape,
    detect,
    parse,
    read,
    validate,
)
from orpo.rows.report import OTHER_KEYS
from tests.orpo.test_formats import BAD, EXPLICIT, GOOD, HH, OPENAI, SYSTEM, WHOLE, U

MESSAGES = {"messages": [U, GOOD]}
SHAREGPT = {
    "conversations": [{"from": "human", "value": "Why?"}],
    "chosen": {"from": "gpt", "value": "Because."},
    "rejected": {"from": "gpt", "value": "No idea."},
}
RANKED = {"prompt": "Why?", "responses": ["Because.", "No idea."], "scores": [1, 0]}
SWIFT = {**MESSAGES, "rejected_response": "No idea."}
TRANSCRIPT = {"chosen": HH + "Because.", "rejected": HH + "No idea."}
EACH = [EXPLICIT, OPENAI, WHOLE, TRANSCRIPT, SHAREGPT, RANKED, MESSAGES, SWIFT]


def pair_of(value: dict[str, Any]) -> Pair:
    shape = detect(value)
    assert shape is not None
    return parse(value, shape, 1)


def refused(value: dict[str, Any]) -> str:
    with pytest.raises(Reject) as why:
        pair_of(value)
    return why.value.message


def checked(folder: Path, *values: Any) -> Report:
    path = folder / "upload.jsonl"
    path.write_text("".join(json.dumps(value) + "\n" for value in values))
    return validate(path, path.name, None)


@pytest.mark.parametrize("key", ["system", "system_prompt"])
@pytest.mark.parametrize("value", EACH)
def test_a_system_column_is_the_first_message(value: dict[str, Any], key: str) -> None:
    pair = pair_of({**value, key: "Be kind."})
    assert pair.prompt == [SYSTEM, U]
    assert pair.chosen == [GOOD]
    assert pair_of({**value, key: ""}).prompt == [U]


def test_two_system_texts_must_be_the_same() -> None:
    value = {**EXPLICIT, "prompt": [SYSTEM, U]}
    assert pair_of({**value, "system": "Be kind.\n"}).prompt == [SYSTEM, U]
    assert "keep one" in refused({**value, "system": "Be brief."})


KEYS = [
    "prompt", "chosen", "rejected", "messages", "role", "content", "value", "from", "weight",
    "responses", "scores", "ranks", "input", "question", "system", "tools", "context", "thinking",
    "conversations", "preferred_output", "non_preferred_output", "rejected_response", "type",
    "rejected_messages", "text",
]  # fmt: skip
TOOL = {"type": "function", "function": {"name": "weather", "parameters": {}}}


@pytest.mark.parametrize("value", EACH)
@pytest.mark.parametrize(
    ("key", "held", "words"),
    [
        ("tool_calls", [TOOL], "a part of a message"),
        ("thinking", "Let me think.", "the message that it belongs to"),
        ("images", ["a.png"], "only text is trained"),
        ("instruction", "Answer in French.", "put it into the prompt"),
        ("context", "Paris is in Texas.", "put it into the prompt"),
        ("passage", "Because.", "put it into the prompt"),  # only an answer holds it
        ("passage", "W", "put it into the prompt"),
        ("history", [["Hi", "Hello."]], "history holds an array"),
    ],
)
def test_what_the_model_should_see_refuses_the_row(
    value: dict[str, Any], key: str, held: Any, words: str
) -> None:
    assert words in refused({**value, key: held})
    pair_of({**value, key: type(held)()})  # empty


@pytest.mark.parametrize("value", EACH)
def test_text_that_the_conversation_holds_already_is_harmless(value: dict[str, Any]) -> None:
    assert pair_of({**value, "instruction": " Why?\n"}).prompt == [U]


def test_a_prompt_under_another_name_is_no_other_text() -> None:
    parts = [{"role": "user", "content": [{"type": "text", "text": "Why?"}]}]
    for held in (parts, json.dumps([U]), "Why?"):
        value = {"question": held, "chosen": "Because.", "rejected": "No idea."}
        assert pair_of(value).prompt == [U]
    assert pair_of({**EXPLICIT, "prompt": None, "messages": parts}).prompt == [U]
    assert pair_of({**EXPLICIT, "messages": [*parts, GOOD]}).prompt == [U]


@pytest.mark.parametrize(
    ("value", "words"),
    [
        ({**OPENAI, "input": {"messages": [U], "functions": [3]}}, "input.functions"),
        ({**SWIFT, "rejected_messages": [U, BAD]}, "keep one"),
        ({**EXPLICIT, "chosen": {**GOOD, "value": "Other."}}, "keep one"),
        ({"system": "Be kind.", "messages": [GOOD]}, "prompt is empty"),
        ({**EXPLICIT, "prompt": [], "system": "Be kind."}, "prompt is empty"),
        ({**TRANSCRIPT, "prompt": [U]}, "transcript was expected"),
        ({**RANKED, "scores": [10**400, 10**400]}, "equal"),
        ({**EXPLICIT, "chosen": {"a": 1}}, "role"),
    ],
)
def test_what_contradicts_itself_is_refused(value: dict[str, Any], words: str) -> None:
    assert words in refused(value)


ANY_JSON = st.recursive(
    st.none() | st.booleans() | st.integers() | st.just(10**400) | st.floats() | st.text()
    | st.sampled_from(["user", "assistant", "[{", HH]),
    lambda inner: st.lists(inner, max_size=3)
    | st.dictionaries(st.sampled_from([*KEYS, "x"]), inner, max_size=3),
    max_leaves=8,
)  # fmt: skip


@given(st.sampled_from(EACH), st.sampled_from(KEYS), ANY_JSON, st.integers(0, 2))
def test_no_value_of_a_known_key_crashes(
    value: dict[str, Any], key: str, held: Any, depth: int
) -> None:
    """A row is accepted or refused, whatever stands in one of its places."""
    row = json.loads(json.dumps(value))
    place = row
    for _ in range(depth):
        inner = next((each for each in place.values() if isinstance(each, dict)), None)
        lists = [each for each in place.values() if isinstance(each, list)]
        place = inner or next((e for each in lists for e in each if isinstance(e, dict)), place)
    place[key] = held
    shape = detect(row)
    if shape is not None:
        with contextlib.suppress(Reject):
            read(row, shape, 1)


@pytest.mark.parametrize(("key", "held"), [("images", ["a.png"]), ("tool_call_id", "call-1")])
def test_what_a_message_should_show_refuses_the_row(key: str, held: Any) -> None:
    turn = {**GOOD, key: held}
    for value in ({**EXPLICIT, "chosen": turn}, {**WHOLE, "chosen": [U, turn]}):
        assert key in refused(value)
    assert pair_of({**EXPLICIT, "chosen": {**GOOD, key: None}}).chosen == [GOOD]


def test_an_answer_that_is_excluded_from_training_is_refused() -> None:
    assert "weight 0" in refused({"messages": [U, {**GOOD, "weight": 0}]})
    assert pair_of({"messages": [{**GOOD, "weight": 0}, U, {**GOOD, "weight": 1}]})


@pytest.mark.parametrize(
    ("value", "prompt", "chosen"),
    [
        (
            {"messages": [SYSTEM, U], "chosen": [GOOD, U, GOOD], "rejected": [GOOD, U, BAD]},
            [SYSTEM, U],
            [GOOD, U, GOOD],
        ),
        ({"messages": [U], "chosen": GOOD, "rejected": BAD}, [U], [GOOD]),
        ({"messages": [U], "chosen": "Because.", "rejected": "No idea."}, [U], [GOOD]),
        ({"question": "Why?", "chosen": "Because.", "rejected": "No idea."}, [U], [GOOD]),
        # The published form of UltraFeedback: `messages` repeats prompt and chosen answer.
        ({**EXPLICIT, "messages": [U, GOOD]}, [U], [GOOD]),
    ],
)
def test_messages_beside_answers(value: dict[str, Any], prompt: list[Message], chosen: Any) -> None:
    pair = pair_of(value)
    assert (pair.prompt, pair.chosen) == (prompt, chosen)


def test_other_messages_beside_a_pair_are_refused() -> None:
    assert "messages" in refused({**EXPLICIT, "messages": [SYSTEM, U, GOOD]})


@pytest.mark.parametrize(
    "other", [{"rejected_response": "No idea."}, {"rejected_response": BAD},
              {"rejected_messages": [U, BAD]}],
)  # fmt: skip
def test_a_rejected_answer_beside_messages(other: dict[str, Any]) -> None:
    value = {**MESSAGES, **other}
    assert detect(value) is Shape.SWIFT
    assert pair_of(value) == Pair(1, [U], [GOOD], [BAD])


def test_white_space_around_a_prompt_is_no_other_prompt() -> None:
    spaced = Message(role="user", content="Why?\n")
    value = {"prompt": "Why?", "chosen": [spaced, GOOD], "rejected": [spaced, BAD]}
    assert pair_of(value) == Pair(1, [spaced], [GOOD], [BAD])


def test_messages_that_are_spelled_in_json_are_read(tmp_path: Path) -> None:
    value = {name: json.dumps([turn]) for name, turn in
             (("prompt", U), ("chosen", GOOD), ("rejected", BAD))}  # fmt: skip
    assert pair_of(value) == Pair(1, [U], [GOOD], [BAD])
    report = checked(tmp_path, EXPLICIT, value)
    assert report.accepted == 2
    found = {(each.code, each.key, each.rows, *each.lines) for each in report.remarks.values()}
    assert found == {("spelled_messages", key, 1, 2) for key in ("prompt", "chosen", "rejected")}


@pytest.mark.parametrize(
    "spelling", [str([GOOD]), str([dict(reversed(GOOD.items()))]), f"  {[GOOD]}"]
)
def test_messages_that_are_spelled_in_python_are_refused(spelling: str) -> None:
    assert "write it as JSON" in refused({**EXPLICIT, "chosen": spelling})


@pytest.mark.parametrize(
    "text", ["[1, 2]", '{"role": "admin"}', '[{"role": "user"}]', "{", "['a']", '{"content": 1}']
)
def test_other_json_is_an_answer(text: str) -> None:
    assert pair_of({**EXPLICIT, "chosen": text}).chosen == [Message(role="assistant", content=text)]


KNOWN = (
    columns.HARMLESS | columns.CONTEXT | {*columns.SYSTEM, *columns.TOOLS, *messages.CHANGES}
    | {key for value in EACH for key in value} | {"rejected_messages", "ranks"}
)  # fmt: skip
unknown_keys = st.text(min_size=1, max_size=20).filter(lambda key: key not in KNOWN)
held = st.one_of(
    st.text(min_size=1), st.integers(min_value=1), st.just(True),
    st.lists(st.integers(), min_size=1), st.dictionaries(st.text(), st.integers(), min_size=1),
)  # fmt: skip


@given(st.sampled_from(EACH), unknown_keys, held)
def test_an_unknown_key_is_never_dropped_silently(
    value: dict[str, Any], key: str, held: Any
) -> None:
    row = {**value, key: held}
    shape = detect(row)
    assert shape is detect(value)
    assert shape is not None
    pair, remarks = read(row, shape, 1)
    assert columns.Remark("unused_key", key) in remarks
    assert pair == parse(value, shape, 1)


PARTS = [{"type": "thinking", "thinking": "Hm."}, {"type": "text", "text": "Because."}]
CALL = {"id": "1", "type": "function", "function": {"name": "f", "arguments": {"a": 1}}}
CALLING = {**GOOD, "content": PARTS, "tool_calls": [CALL], "weight": 1}
RESULT = {"role": "tool", "content": "2", "tool_call_id": "1", "name": "f"}
FULL = [CALLING, RESULT, GOOD]
DEFINED = {
    "type": "function",
    "function": {"name": "f", "description": "d", "parameters": {"type": "object"}},
}
# Every shape that holds messages, with all that a message may have.
FULL_ROWS = [
    {"prompt": [U], "chosen": FULL, "rejected": [BAD]},
    {**OPENAI, "preferred_output": FULL},
    {"chosen": [U, *FULL], "rejected": [U, BAD]},
    {**SHAREGPT, "conversations": [U], "chosen": FULL},
    {**RANKED, "responses": [FULL, "No idea."]},
    {"messages": [U, *FULL]},
    {"messages": [U, *FULL], "rejected_response": "No idea."},
]
# Keys that are read, or known to be harmless, in some object of a row.
KNOWN_INSIDE = {
    *messages.READ, *messages.CHANGES, *tools.DEFINITION, *tools.OF_DEFINITION, *tools.CALL,
    *tools.OF_CALL, *tools.OTHER_ARGUMENTS, *columns.HARMLESS_IN_PARTS, *columns.TOOLS,
    *columns.HARMLESS_IN_MESSAGES, *columns.HARMLESS_IN_INPUT, "name", "messages",
}  # fmt: skip


def objects(value: Any, inside: str = "row") -> Iterator[dict[str, Any]]:
    """Every object of a row that has keys of its own: not the arguments, nor a schema."""
    if isinstance(value, list):
        for each in value:
            yield from objects(each, inside)
    elif isinstance(value, dict):
        yield value
        for key, held in value.items():
            if key not in ("arguments", "parameters"):
                yield from objects(held, key)


@given(st.sampled_from(FULL_ROWS), unknown_keys, held, st.data())
def test_nor_one_at_any_depth(
    value: dict[str, Any], key: str, held: Any, data: st.DataObject
) -> None:
    """In the row, its input, a message, a part, a tool, its function, a call and its function."""
    row = json.loads(json.dumps({**value, "tools": [DEFINED]}))
    shape = detect(row)
    assert shape is not None
    pair, before = read(row, shape, 1)
    assert not before
    assume(key not in KNOWN_INSIDE)
    place = data.draw(st.sampled_from([*range(len([*objects(row)]))]))
    [*objects(row)][place][key] = held
    assert detect(row) is shape
    found, remarks = read(row, shape, 1)
    assert [remark.code for remark in remarks] == ["unused_key"]
    assert remarks[0].key.endswith(key)
    assert found == pair


@given(st.sampled_from(FULL_ROWS), st.sampled_from(sorted(KNOWN_INSIDE)), held, st.data())
def test_a_known_key_in_another_place_is_used_refused_or_remarked_on(
    value: dict[str, Any], key: str, held: Any, data: st.DataObject
) -> None:
    row = json.loads(json.dumps({**value, "tools": [DEFINED]}))
    shape = detect(row)
    assert shape is not None
    pair, _ = read(row, shape, 1)
    place = [*objects(row)][data.draw(st.integers(0, len([*objects(row)]) - 1))]
    assume(key not in place and key not in HARMLESS_EVERYWHERE)
    place[key] = held
    assume(detect(row) is shape)
    with contextlib.suppress(Reject):
        found, remarks = read(row, shape, 1)
        assert found != pair or remarks


# Facts that change nothing, and the part keys of texts that have another type.
HARMLESS_EVERYWHERE = {
    *columns.HARMLESS_IN_PARTS, *columns.HARMLESS_IN_MESSAGES, *columns.HARMLESS_IN_INPUT,
    *columns.HARMLESS, "type", "strict",
}  # fmt: skip


def test_keys_inside_the_input_and_inside_parts() -> None:
    part = {"type": "text", "text": "Because.", "annotations": [1]}
    inner = {"messages": [{**U, "name": "Ann"}], "tools": [], "temperature": 1}
    value = {**OPENAI, "input": inner, "preferred_output": [{**GOOD, "content": [part]}]}
    _, remarks = read(value, Shape.OPENAI, 1)
    keys = {
        "input.temperature",
        "input.messages[].name",
        "preferred_output[].content[].annotations",
    }
    assert {remark.key for remark in remarks} == keys


def test_a_report_counts_rows_and_keeps_their_first_lines(tmp_path: Path) -> None:
    rows = [EXPLICIT, *({**EXPLICIT, "extra": 1} for _ in range(15))]
    (found,) = checked(tmp_path, *rows).remarks.values()
    assert (found.code, found.key, found.rows) == ("unused_key", "extra", 15)
    assert found.lines == list(range(2, 12))


def test_a_report_does_not_grow_with_the_number_of_keys(tmp_path: Path) -> None:
    report = checked(tmp_path, *({**EXPLICIT, f"key {n}": 1} for n in range(150)))
    assert len(report.remarks) == columns.KEPT + 1
    others = report.remarks[columns.Remark("unused_key", OTHER_KEYS)]
    assert (others.rows, others.lines) == (50, list(range(101, 111)))
    assert [each["key"] for each in report.to_json()["remarks"]][:2] == ["key 0", "key 1"]
    (one,) = [checked(tmp_path, {**EXPLICIT, **{f"key {n}": 1 for n in range(150)}})]
    assert one.remarks[columns.Remark("unused_key", OTHER_KEYS)].rows == 1
