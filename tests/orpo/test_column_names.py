"""Columns with other names: mapped, missing, and suggested."""

import json
from pathlib import Path
from typing import Any

import pytest

from orpo.rows.column_names import parse_columns
from orpo.rows.formats import Report, validate
from orpo.rows.suggested import as_option

COLUMNS = {"prompt": "question", "chosen": "best", "rejected": "worst"}
ROW = {"question": "Why?", "best": "Because.", "worst": "No idea."}


def checked(folder: Path, rows: list[Any], columns: dict[str, str] | None = None) -> Report:
    path = folder / "upload"
    path.write_text("".join(json.dumps(row) + "\n" for row in rows))
    return validate(path, "a.jsonl", folder / "pairs.jsonl", columns=columns)


def test_mapped_columns_are_read_as_fields(tmp_path: Path):
    unmapped = {"prompt": "Why?", "chosen": "Because.", "rejected": "No idea."}
    report = checked(tmp_path, [ROW, unmapped], COLUMNS)
    assert (report.accepted, report.findings) == (2, [])
    first, second = map(json.loads, (tmp_path / "pairs.jsonl").read_text().splitlines())
    assert {**first, "line": 2} == second


def test_a_column_that_another_one_replaces_is_a_remark(tmp_path: Path):
    report = checked(tmp_path, [{**ROW, "prompt": "p-17"}], COLUMNS)
    assert report.accepted == 1
    assert [remark.key for remark in report.remarks.values()] == ["prompt (not mapped)"]


def test_two_columns_may_change_places(tmp_path: Path):
    row = {"prompt": "Why?", "chosen": "No idea.", "rejected": "Because."}
    assert checked(tmp_path, [row], {"chosen": "rejected", "rejected": "chosen"}).accepted == 1
    pair = json.loads((tmp_path / "pairs.jsonl").read_text())
    assert pair["chosen"][0]["content"] == "Because."


def test_a_mapped_column_that_no_row_has_is_a_finding(tmp_path: Path):
    report = checked(tmp_path, [ROW] * 200, {**COLUMNS, "chosen": "bset"})
    assert (report.accepted, len(report.findings)) == (0, 100)
    assert report.findings[0].message == (
        "No row has the column bset, which `columns` reads as chosen. Columns of the first row: "
        "question, best, worst."
    )
    assert report.suggested_columns == COLUMNS


@pytest.mark.parametrize(
    ("row", "suggested"),
    [
        (ROW, COLUMNS),
        (
            {"instruction": "i", "input": "Why?", "good_answer": "a", "bad_answer": "b"},
            None,  # `input` would not be read as part of the prompt
        ),
        (
            {"Query": "Why?", "Chosen Response": "a", "Rejected_Response": "b", "n": 3},
            {"prompt": "Query", "chosen": "Chosen Response", "rejected": "Rejected_Response"},
        ),
        ({"prompt": "Why?", "good": "a", "bad": "b"}, {"chosen": "good", "rejected": "bad"}),
        ({"question": "Why?", "best": "same", "worst": "same"}, None),  # no pair, tried
        ({"question": "Why?", "best": 3, "worst": 4}, None),
        ({"question": "Why?", "answer": "a"}, None),
        ({"question": "Why?", "winner": "a", "loser": "b"}, {
            "prompt": "question", "chosen": "winner", "rejected": "loser"}),
        (["a"], None),
    ],
)  # fmt: skip
def test_a_mapping_is_suggested_if_it_gives_pairs(tmp_path: Path, row: Any, suggested: Any):
    report = checked(tmp_path, [row] * 3)
    assert report.accepted == 0
    assert report.suggested_columns == suggested
    if suggested:
        assert checked(tmp_path, [row] * 3, suggested).accepted == 3


def test_nothing_is_suggested_where_rows_are_accepted(tmp_path: Path):
    pair = {"prompt": "Why?", "chosen": "a", "rejected": "b"}
    assert checked(tmp_path, [ROW, pair]).suggested_columns is None


@pytest.mark.parametrize(
    ("text", "says"),
    [
        ("prompt=question", "JSON object"),
        ("[]", "JSON object"),
        ("{}", "JSON object"),
        ('{"prompts": "question"}', "field `prompts`"),
        ('{"prompt": 3}', "text of 1 to 200"),
        ('{"prompt": ""}', "text of 1 to 200"),
        ('{"prompt": "a\\u0000"}', "text of 1 to 200"),
        ('{"prompt": "a", "chosen": "a"}', "`a` twice"),
    ],
)
def test_a_malformed_mapping_is_refused_with_a_sentence(text: str, says: str):
    with pytest.raises(ValueError, match=says):
        parse_columns(text)


def test_a_mapping_is_read_back():
    assert parse_columns(json.dumps(COLUMNS)) == COLUMNS
    assert parse_columns(" ") is None
    assert as_option(COLUMNS) == "prompt=question,chosen=best,rejected=worst"
    assert as_option({"prompt": "a,b=c"}) == '{"prompt":"a,b=c"}'
