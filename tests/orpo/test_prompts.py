"""Files of prompts: what their rows ask, what is dropped and why, and which suites they fit."""

import gzip
import json
from pathlib import Path
from typing import Any

import pytest

from evals.fits import Fits
from orpo import prompts
from orpo.rows.messages import Reject
from orpo.rows.prompts import category_of, turns_of


def user(text: str) -> dict[str, str]:
    return {"role": "user", "content": text}


def report_of(
    tmp_path: Path, capsys: pytest.CaptureFixture[str], content: bytes, name: str = "a.jsonl"
) -> tuple[dict[str, Any], list[Any]]:
    """The verb's report, and the rows that it wrote."""
    source, rows = tmp_path / "source", tmp_path / "rows"
    source.write_bytes(content)
    prompts.main(source, name, rows)
    report = json.loads(capsys.readouterr().out.splitlines()[-1])
    return report, [json.loads(line) for line in rows.read_text().splitlines()]


def jsonl(*rows: Any) -> bytes:
    return "".join(f"{json.dumps(row)}\n" for row in rows).encode()


IFEVAL = {"key": 1, "prompt": "Why?", "instruction_id_list": ["punctuation:no_comma"],
          "kwargs": [{}]}  # fmt: skip
MT_BENCH = {"question_id": 81, "category": "writing", "turns": ["Why?", "And then?"]}
ALPACA = {"instruction": "Why?", "output": "So.", "generator": "x", "dataset": "koala"}


@pytest.mark.parametrize(
    ("row", "suite"), [(IFEVAL, "ifeval"), (MT_BENCH, "mt_bench"), (ALPACA, "alpaca_eval")]
)
def test_the_formats_of_three_projects(
    row: dict[str, Any], suite: str, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    report, rows = report_of(tmp_path, capsys, jsonl(row, row))
    found = report["prompts"]
    assert (report["rows"], report["accepted"], found["repeated"]) == (2, 2, 1)
    assert found["suites"] == ["custom", "reward", "diversity", suite]
    assert rows[0]["line"] == 1
    assert rows[0]["prompt"] == [user("Why?")]
    assert rows[0]["row"] == row
    turns = [[user("Why?")], [user("And then?")]]
    assert rows[0]["turns"] == turns[: 2 if suite == "mt_bench" else 1]
    assert rows[0]["category"] == {"mt_bench": "writing", "alpaca_eval": "koala"}.get(suite)


def test_rows_that_ask_nothing_are_dropped_with_a_sentence(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    content = jsonl({"prompt": " "}, {"id": 3}, {"prompt": 7}, "Why?") + b"{broken\n"
    report, rows = report_of(tmp_path, capsys, content)
    assert (report["rows"], report["accepted"], len(rows)) == (5, 1, 1)
    assert report["dropped"] == {"empty": 1, "no_prompt": 2, "bad_json": 1}
    found = {each["line"]: each["message"] for each in report["findings"]}
    assert found[1] == "The prompt is empty."
    assert found[2].startswith("No prompt was found. A row needs one of: prompt, question")
    assert "a number" in found[3]
    nothing, _ = report_of(tmp_path, capsys, jsonl({"id": 1}))
    assert nothing["prompts"]["suites"] == []


def test_a_row_with_a_field_that_can_not_be_written_is_dropped(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    deep = f'{{"prompt": "Why?", "x": {"[" * 300}{"]" * 300}}}\n'
    content = f'{deep}{{"prompt": "Why?", "x": "\\ud800"}}\n{{"prompt": "Why?"}}\n'.encode()
    report, rows = report_of(tmp_path, capsys, content)
    assert (report["dropped"], report["accepted"], len(rows)) == ({"not_kept": 2}, 1, 1)
    assert report["prompts"]["repeated"] == 0


@pytest.mark.parametrize("name", ["a.txt", "a.txt.gz"])
def test_each_line_of_a_text_is_a_prompt(
    name: str, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    content = b'Why, oh why?\n\n  How, then? \n{"prompt": "Who?"}\n{not JSON}\n'
    sent = gzip.compress(content) if name.endswith(".gz") else content
    report, rows = report_of(tmp_path, capsys, sent, name)
    assert report["container"] == "txt"
    assert [(row["line"], row["prompt"][0]["content"]) for row in rows] == [
        (1, "Why, oh why?"), (3, "How, then?"), (4, "Who?"), (5, "{not JSON}"),
    ]  # fmt: skip
    broken, _ = report_of(tmp_path, capsys, b"Why?\n\xff\xfe?\n", "a.txt")
    assert broken["findings"][0]["code"] == "bad_utf8"


def test_tables_and_columns_with_other_names(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    report, rows = report_of(tmp_path, capsys, b"question,category\nWhy?,odd\n", "a.csv")
    assert (report["accepted"], rows[0]["category"]) == (1, "odd")


@pytest.mark.parametrize(
    ("row", "turns"),
    [
        ({"messages": [user("a"), {"role": "assistant", "content": "b"}, user("c"),
                       {"role": "assistant", "content": "d"}]},
         [[user("a"), {"role": "assistant", "content": "b"}, user("c")]]),
        ({"system": "Be brief.", "prompt": "a"},
         [[{"role": "system", "content": "Be brief."}, user("a")]]),
        ({"instruction": "Sort.", "input": "b a"}, [[user("Sort.\nb a")]]),
        ({"turns": ["a", "b", "c"]}, [[user("a")], [user("b")], [user("c")]]),
        ({"turns": ["a"]}, [[user("a")]]),
        ("a", [[user("a")]]),
    ],
    ids=["conversation", "system", "instruction", "turns", "one turn", "text"],
)  # fmt: skip
def test_what_a_row_asks(row: Any, turns: Any) -> None:
    assert turns_of(row) == turns


@pytest.mark.parametrize(
    ("row", "code"),
    [
        ({"turns": ["a", " "]}, "empty"),
        ({"messages": [{"role": "system", "content": "Be brief."}]}, "empty"),
        ({"prompt": None}, "empty"),
        ({"prompt": "x" * (2**20 + 1)}, "too_long"),
        ({"prompt": "a\0b"}, "bad_text"),
        ([], "no_prompt"),
    ],
    ids=["second turn", "system alone", "null", "long", "NUL", "array"],
)
def test_what_can_not_be_asked(row: Any, code: str) -> None:
    with pytest.raises(Reject) as why:
        turns_of(row)
    assert why.value.code == code


def test_a_category_is_a_short_text() -> None:
    assert category_of({"category": " a\n b ", "dataset": "c"}) == "a b"
    assert [category_of(row) for row in ({"category": "x" * 101}, {"category": 3}, "a", {})] == [
        None
    ] * 4


def test_a_suite_that_does_not_fit_says_where() -> None:
    fits = Fits()
    for line, row in enumerate((IFEVAL, {**IFEVAL, "instruction_id_list": ["x"]}), 1):
        fits.add(line, row)
    assert fits.suites == ["custom", "reward", "diversity"]
    assert fits.unfit["ifeval"] == "Line 2: Instruction `x` is not known."
    assert fits.unfit["mt_bench"].startswith("Line 1: A row needs `question_id`")


@pytest.mark.parametrize(
    ("row", "says"),
    [
        ({**ALPACA, "output": "Thus."}, "has another `output` in line 1"),
        ({"instruction": "How?"}, "needs `instruction` and `output`"),
        ({"instruction": "How?", "output": " "}, "needs `instruction` and `output`"),
    ],
    ids=["doubled", "missing", "empty"],
)
def test_reference_outputs_are_there_once(row: dict[str, Any], says: str) -> None:
    fits = Fits()
    fits.add(1, ALPACA)
    fits.add(2, ALPACA)
    assert "alpaca_eval" in fits.suites
    fits.add(3, row)
    assert says in fits.unfit["alpaca_eval"]


@pytest.mark.parametrize(
    "wrong",
    [{"turns": ["a"]}, {"turns": "a"}, {"category": None}, {"reference": "a"},
     {"reference": ["a", "b", "c"]}, {"question_id": "1"}],
)  # fmt: skip
def test_a_question_of_mt_bench_has_two_turns(wrong: dict[str, Any]) -> None:
    fits = Fits()
    fits.add(1, {**MT_BENCH, "reference": ["a", "b"]})
    assert "mt_bench" in fits.suites
    fits.add(2, {**MT_BENCH, **wrong})
    assert fits.unfit["mt_bench"].startswith("Line 2: ")
