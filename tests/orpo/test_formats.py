"""Every accepted shape, every reason to drop a row, and hostile files."""

import contextlib
import json
from pathlib import Path
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from orpo.rows import limits
from orpo.rows.formats import Message, Pair, Reject, Report, Shape, detect, parse, validate
from tests.memory import peaks

U = Message(role="user", content="Why?")
GOOD = Message(role="assistant", content="Because.")
BAD = Message(role="assistant", content="No idea.")
SYSTEM = Message(role="system", content="Be kind.")
HH = "\n\nHuman: Why?\n\nAssistant: "
EXPLICIT = {"prompt": "Why?", "chosen": "Because.", "rejected": "No idea."}
WHOLE = {"chosen": [U, GOOD], "rejected": [U, BAD]}
OPENAI = {
    "input": {"messages": [U], "tools": []},
    "preferred_output": [GOOD],
    "non_preferred_output": [BAD],
}

SHAPES: list[tuple[Shape, dict[str, Any]]] = [
    (Shape.EXPLICIT, EXPLICIT),
    (Shape.EXPLICIT, {"prompt": [U], "chosen": [GOOD], "rejected": [BAD]}),
    (Shape.EXPLICIT, {"prompt": [U], "chosen": GOOD, "rejected": BAD}),
    (Shape.EXPLICIT, {"prompt": [U], "chosen": [U, GOOD], "rejected": [U, BAD]}),
    (Shape.EXPLICIT, {"prompt": "Why?", "chosen": [U, GOOD], "rejected": [U, BAD], "messages": []}),
    (
        Shape.OPENAI,
        OPENAI,
    ),
    (Shape.IMPLICIT, WHOLE),
    (Shape.HH_RLHF, {"chosen": HH + "Because.", "rejected": HH + "No idea."}),
    (Shape.HH_RLHF, {"prompt": HH, "chosen": " Because.", "rejected": " No idea."}),
    (
        Shape.SHAREGPT,
        {
            "conversations": [{"from": "human", "value": "Why?"}],
            "chosen": {"from": "gpt", "value": "Because."},
            "rejected": {"from": "gpt", "value": "No idea."},
        },
    ),
    (
        Shape.RANKED,
        {
            "prompt": "Why?",
            "responses": ["Dunno.", "Because.", "No idea."],
            "scores": [0.5, 0.9, -1],
        },
    ),
    (
        Shape.RANKED,
        {"prompt": [U], "responses": ["Dunno.", "Because.", "No idea."], "ranks": [2, 1, 3]},
    ),
]


@pytest.mark.parametrize(("shape", "value"), SHAPES)
def test_shapes_reach_one_normal_form(shape: Shape, value: dict[str, Any]):
    assert detect(value) is shape
    pair = parse(value, shape, 7)
    assert pair == Pair(7, [U], [GOOD], [BAD])
    assert Pair.from_json(json.loads(json.dumps(pair.to_json()))) == pair


def test_messages_rows_have_no_rejected_side():
    value = {"messages": [SYSTEM, U, GOOD]}
    assert parse(value, Shape.MESSAGES, 1) == Pair(1, [SYSTEM, U], [GOOD], None)


def test_text_parts_and_other_names_of_roles():
    value = {
        "prompt": [
            {"role": "developer", "content": "Be kind."},
            {"from": "human", "value": "Why?"},
        ],
        "chosen": [{"role": "assistant", "content": [{"type": "text", "text": "Because."}]}],
        "rejected": [BAD],
    }
    assert parse(value, Shape.EXPLICIT, 1).prompt == [SYSTEM, U]
    assert parse(value, Shape.EXPLICIT, 1).chosen == [GOOD]


def test_conversations_may_part_at_an_earlier_answer():
    tail = [{"role": "user", "content": "And?"}, GOOD]
    pair = parse({"chosen": [U, GOOD, *tail], "rejected": [U, BAD, *tail]}, Shape.IMPLICIT, 1)
    assert pair.prompt == [U]
    assert len(pair.chosen) == 3


DROPPED: list[tuple[str, str, Any]] = [
    ("empty", "chosen", {**EXPLICIT, "chosen": ""}),
    ("empty", "rejected", {**EXPLICIT, "rejected": " \n\t"}),
    ("empty", "prompt", {**EXPLICIT, "prompt": "  "}),
    ("empty", "no text", {**EXPLICIT, "chosen": [{"role": "assistant", "content": None}]}),
    ("identical", "same", {**EXPLICIT, "rejected": "Because."}),
    ("identical", "same", {"chosen": HH + "a", "rejected": HH + "a"}),
    ("not_a_pair", "rejected missing", {"prompt": "a", "chosen": "b"}),
    ("not_a_pair", "Keys seen: answer, question", {"question": "a", "answer": "b"}),
    ("not_a_pair", f"Keys seen: {'k' * 40}, {'l' * 40}.", {"k" * 9000: "a", "l" * 9000: "b"}),
    ("not_a_pair", "array", ["a"]),
    ("not_a_pair", "null", None),
    ("not_a_pair", "number", 3),
    ("not_a_pair", "at once", {**EXPLICIT, "responses": ["a", "b"], "scores": [1, 2]}),
    ("not_a_pair", "prompt missing", {"chosen": "a", "rejected": "b"}),
    ("not_a_pair", "a number", {**EXPLICIT, "chosen": 3}),
    ("not_a_pair", "role", {**EXPLICIT, "prompt": [{"role": "robot", "content": "a"}]}),
    ("not_a_pair", "assistant turn", {**EXPLICIT, "prompt": [U, GOOD]}),
    ("not_a_pair", "does not begin", {**WHOLE, "prompt": "Else?"}),
    ("not_a_pair", "same prompt", {"chosen": [U, GOOD], "rejected": [SYSTEM, U, GOOD]}),
    ("not_a_pair", "begin and end", {**EXPLICIT, "chosen": [GOOD, U]}),
    ("not_a_pair", "not text", {**EXPLICIT, "chosen": {**GOOD, "content": [{"type": "image"}]}}),
    ("not_a_pair", "tool", {**OPENAI, "input": {"messages": [U], "tools": [1]}}),
    ("not_a_pair", "input", {**OPENAI, "input": None}),
    ("not_a_pair", "scores", {"prompt": "a", "responses": ["b", "c"]}),
    ("not_a_pair", "length", {"prompt": "a", "responses": ["b", "c"], "scores": [1]}),
    ("not_a_pair", "equal", {"prompt": "a", "responses": ["b", "c"], "scores": [1, 1]}),
    ("not_a_pair", "numbers", {"prompt": "a", "responses": ["b", "c"], "scores": [1, "2"]}),
    ("bad_text", "NUL", {**EXPLICIT, "chosen": "a\0b"}),
    ("bad_text", "surrogate", {**EXPLICIT, "chosen": "a\ud800b"}),
]  # fmt: skip


@pytest.mark.parametrize(("code", "words", "value"), DROPPED)
def test_rows_that_are_no_pairs(tmp_path: Path, code: str, words: str, value: Any):
    report = checked(tmp_path, json.dumps(value))
    assert report.dropped == {code: 1}
    assert words in report.findings[0].message
    assert (report.findings[0].line, report.accepted) == (1, 0)


def checked(folder: Path, content: str | bytes, name: str = "a.jsonl") -> Report:
    path = folder / "upload"
    path.write_bytes(content.encode() if isinstance(content, str) else content)
    return validate(path, name, folder / "pairs.jsonl")


def normal(folder: Path) -> list[dict[str, Any]]:
    return [json.loads(line) for line in (folder / "pairs.jsonl").read_text().splitlines()]


ROW = json.dumps(EXPLICIT)
UNREADABLE: list[tuple[str, int | None, bytes]] = [
    ("bad_json", 12, b'{"prompt": }'),
    ("bad_json", 2, b"{"),
    ("bad_utf8", 13, b'{"prompt": "\xff"}'),
    ("too_deep", None, b"[" * 100_000 + b"]" * 100_000),
    ("too_deep", None, b'{"a":' * 100_000 + b"1" + b"}" * 100_000),
]


@pytest.mark.parametrize(("code", "column", "line"), UNREADABLE)
def test_unreadable_lines_are_left_and_the_rest_read(
    tmp_path: Path, code: str, column: int | None, line: bytes
):
    report = checked(tmp_path, ROW.encode() + b"\n" + line + b"\r\n\n  \n" + ROW.encode())
    assert (report.rows, report.accepted) == (3, 2)
    assert report.dropped == {code: 1}
    assert (report.findings[0].line, report.findings[0].column) == (2, column)
    assert [pair["line"] for pair in normal(tmp_path)] == [1, 5]


@pytest.mark.parametrize(("code", "_column", "element"), UNREADABLE)
def test_an_array_is_read_up_to_what_is_unreadable(
    tmp_path: Path, code: str, _column: int | None, element: bytes
):
    report = checked(tmp_path, b"[\n" + ROW.encode() + b",\n" + element + b"]", "a.JSON")
    assert (report.accepted, dict(report.dropped)) == (1, {code: 1})
    assert report.findings[0].line == 3 or code == "bad_utf8"


@pytest.mark.parametrize(
    "text", ["", "{}", "[", f"[{ROW}", f"[{ROW},", f"[{ROW},]", f"[{ROW} {ROW}]", f"[{ROW}"[:-5]]
)
def test_broken_arrays_are_findings(tmp_path: Path, text: str):
    report = checked(tmp_path, text, "a.json")
    assert report.dropped == {"bad_json": 1}


def test_arrays_across_chunks(tmp_path: Path, monkeypatch: pytest.MonkeyPatch):
    monkeypatch.setattr(limits, "CHUNK_BYTES", 7)
    values = [{**EXPLICIT, "chosen": f'é🙂 [{{\\" {at}'} for at in range(20)]
    text = (
        "\ufeff ["
        + " ,\n".join(json.dumps(v, ensure_ascii=at % 2 == 0) for at, v in enumerate(values))
        + "]\n"
    )
    report = checked(tmp_path, text, "a.json")
    assert report.accepted == 20
    pairs = normal(tmp_path)
    assert [pair["chosen"][0]["content"] for pair in pairs] == [v["chosen"] for v in values]
    assert [pair["line"] for pair in pairs] == list(range(1, 21))


def test_an_empty_array_and_an_empty_file(tmp_path: Path):
    assert checked(tmp_path, " [ ]\n", "a.json").to_json()["rows"] == 0
    assert checked(tmp_path, "").to_json()["shape"] is None


def test_a_byte_order_mark_is_allowed(tmp_path: Path):
    assert checked(tmp_path, b"\xef\xbb\xbf" + ROW.encode()).accepted == 1


@pytest.mark.parametrize("value", ["NaN", "Infinity", "-Infinity", "1e999"])
def test_what_is_not_finite_in_an_unused_column_is_no_reason_to_stop(tmp_path: Path, value: str):
    row = f'{ROW[:-1]}, "score": {value}}}'
    assert checked(tmp_path, f"{ROW}\n{row}\n{ROW}").accepted == 3
    assert checked(tmp_path, f"[{ROW},{row},{ROW}]", "a.json").accepted == 3
    assert checked(tmp_path, f"{row}\n{ROW}", "a.json").accepted == 2
    scored = f'{{"prompt": "a", "responses": ["b", "c"], "scores": [1, {value}]}}'
    assert checked(tmp_path, scored).dropped == {"not_a_pair": 1}
    assert checked(tmp_path, f"{ROW}\n{value}").dropped == {"not_a_pair": 1}


@pytest.mark.parametrize("indent", [None, 2])
@pytest.mark.parametrize("name", ["a.json", "a.jsonl", "a.ndjson", "a"])
def test_the_content_says_whether_it_is_an_array_or_lines(
    tmp_path: Path, name: str, indent: int | None
):
    array = "\ufeff\n" + json.dumps([EXPLICIT, EXPLICIT], indent=indent) + "\n"
    assert checked(tmp_path, array, name).to_json()["accepted"] == 2
    report = checked(tmp_path, f"{ROW}\n\n[]\n{ROW}\n", name)
    assert (report.accepted, dict(report.dropped)) == (2, {"not_a_pair": 1})


def test_what_follows_an_array_is_not_ignored(tmp_path: Path):
    report = checked(tmp_path, f"[{ROW}]\n[{ROW}]", "a.json")
    assert (report.accepted, dict(report.dropped)) == (1, {"bad_json": 1})
    assert "goes on after its array" in report.findings[0].message


def test_a_number_that_python_would_not_read_is_no_reason_to_stop(tmp_path: Path):
    long = f'{ROW[:-1]}, "id": {"9" * 5000}}}'
    assert checked(tmp_path, f"{ROW}\n{long}\n{ROW}").accepted == 3
    assert checked(tmp_path, f"[{ROW},{long},{ROW}]", "a.json").accepted == 3


def test_a_row_longer_than_the_limit_is_skipped(tmp_path: Path, monkeypatch: pytest.MonkeyPatch):
    monkeypatch.setattr(limits, "MAX_ROW_BYTES", 200)
    monkeypatch.setattr(limits, "CHUNK_BYTES", 64)
    long = json.dumps({**EXPLICIT, "chosen": "x" * 1000})
    report = checked(tmp_path, f"{ROW}\n{long}\n{ROW}\n")
    assert (report.accepted, dict(report.dropped)) == (2, {"line_too_long": 1})
    report = checked(tmp_path, f"[{ROW},{long},{ROW}]", "a.json")
    assert (report.accepted, dict(report.dropped)) == (1, {"line_too_long": 1})


def test_unknown_containers_are_refused_with_a_sentence(tmp_path: Path):
    report = checked(tmp_path, b"%PDF-1.7", "a.parquet")
    assert report.dropped == {"unknown_container": 1}
    assert "a PDF document" in report.findings[0].message


def test_the_report_counts_shapes_and_keeps_100_findings(tmp_path: Path):
    lines = [ROW] * 3 + [json.dumps({"messages": [U, GOOD]})] + ["{"] * 150
    seen: list[tuple[int, int]] = []
    path = tmp_path / "upload"
    path.write_text("\n".join(lines))
    report = validate(path, "a.jsonl", None, lambda done, size: seen.append((done, size)))
    facts = report.to_json()
    assert facts["shapes"] == {"explicit": 3, "messages": 1}
    assert (facts["shape"], facts["rows"], facts["dropped"]) == ("explicit", 154, {"bad_json": 150})
    assert len(facts["findings"]) == 100
    assert facts["findings"][0] == {
        "line": 5, "column": 2, "code": "bad_json", "message": report.findings[0].message,
    }  # fmt: skip
    assert seen[-1] == (154, path.stat().st_size)


def test_memory_stays_flat(tmp_path: Path):
    path = tmp_path / "upload"
    row = json.dumps({**EXPLICIT, "chosen": "x" * 2000}) + "\n"
    path.write_text(row * 5000)
    (peak,) = peaks(validate_here, path)
    assert path.stat().st_size > 10_000_000
    assert peak < 4_000_000


def validate_here(path: Path) -> None:
    validate(path, "a.jsonl", path.with_name("pairs.jsonl"))


JSON = st.recursive(
    st.none() | st.booleans() | st.floats(allow_nan=False) | st.text(max_size=5),
    lambda inner: (
        st.lists(inner, max_size=3)
        | st.dictionaries(
            st.sampled_from(
                ["prompt", "chosen", "rejected", "messages", "responses", "scores", "ranks", "role",
                 "content", "conversations", "from", "value", "input", "preferred_output"]
            ), inner, max_size=4,
        )
    ),
    max_leaves=12,
)  # fmt: skip


@settings(max_examples=200, deadline=None)
@given(value=JSON)
def test_no_value_crashes(value: Any):
    shape = detect(value)
    if shape is None:
        return
    with contextlib.suppress(Reject):
        pair = parse(value, shape, 1)
        assert pair.chosen != pair.rejected
        assert pair.prompt
