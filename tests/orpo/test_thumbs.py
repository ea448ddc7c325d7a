"""Alpaca's rows, and answers with a thumb up or down that are paired by their prompt."""

import json
from pathlib import Path
from typing import Any

import pytest

from orpo.rows import thumbs
from orpo.rows.formats import Message, Pair, Reject, Report, Shape, detect, parse, validate
from tests.memory import peaks

U = Message(role="user", content="Why?")
GOOD = Message(role="assistant", content="Because.")
BAD = Message(role="assistant", content="No idea.")


@pytest.mark.parametrize(
    ("value", "prompt"),
    [
        ({"instruction": "Why?", "output": ["Because.", "No idea."]}, [U]),
        ({"instruction": "Why?", "input": "", "chosen": "Because.", "rejected": "No idea."}, [U]),
        (
            {"instruction": "Sort.", "input": "b a", "output": ["Because.", "No idea."]},
            [{"role": "user", "content": "Sort.\nb a"}],
        ),
        (
            {"instruction": "Why?", "output": ["Because.", "No idea."], "history": [["Hi", "Yo"]],
             "system": "Be kind."},
            [{"role": "system", "content": "Be kind."}, {"role": "user", "content": "Hi"},
             {"role": "assistant", "content": "Yo"}, U],
        ),
    ],
)  # fmt: skip
def test_alpaca(value: dict[str, Any], prompt: list[Message]):
    assert detect(value) is Shape.ALPACA
    assert parse(value, Shape.ALPACA, 3) == Pair(3, prompt, [GOOD], [BAD])


@pytest.mark.parametrize(
    ("value", "says"),
    [
        ({"instruction": "Why?", "output": ["a"]}, "holds 1 answers"),
        ({"instruction": "Why?", "output": ["a", "b"], "chosen": "c", "rejected": "d"}, "keep one"),
        ({"instruction": "Why?", "output": "a", "chosen": "c", "rejected": "d"}, "keep one"),
        ({"instruction": "Why?", "output": ["a", "b"], "history": "c"}, "history is a string"),
        ({"instruction": "Why?", "output": ["a", "b"], "history": [["c"]]}, "its answer"),
        ({"instruction": "Why?", "output": ["a", "b"], "tools": ["c"]}, "tools"),
    ],
)
def test_alpaca_rows_that_are_no_pairs(value: dict[str, Any], says: str):
    with pytest.raises(Reject, match=says):
        parse(value, Shape.ALPACA, 1)


def thumb(prompt: Any, completion: str, label: Any, **more: Any) -> dict[str, Any]:
    return {"prompt": prompt, "completion": completion, "label": label, **more}


def checked(folder: Path, rows: list[Any]) -> Report:
    path = folder / "upload"
    path.write_text("".join(json.dumps(row) + "\n" for row in rows))
    report = validate(path, "a.jsonl", folder / "pairs.jsonl")
    assert report.rows == report.accepted + report.joined + report.dropped.total()
    assert sorted(found.name for found in folder.iterdir()) == ["pairs.jsonl", "upload"]
    return report


def pairs(folder: Path) -> list[tuple[int, str, str]]:
    found = map(json.loads, (folder / "pairs.jsonl").read_text().splitlines())
    return [(p["line"], p["chosen"][0]["content"], p["rejected"][0]["content"]) for p in found]


def test_a_good_and_a_bad_answer_pair_up_in_order(tmp_path: Path):
    rows = [
        thumb("p", "good 1", True),
        thumb("q", "other", True),
        thumb("p", "good 2", True),
        thumb([{"role": "user", "content": "p"}], "bad 1", False),
        {"prompt": "p", "chosen": "a", "rejected": "b"},
        thumb("p", "bad 2", False),
        thumb("p", "bad 3", False),
    ]
    report = checked(tmp_path, rows)
    assert pairs(tmp_path) == [(4, "good 1", "bad 1"), (5, "a", "b"), (6, "good 2", "bad 2")]
    assert (report.accepted, report.joined, dict(report.dropped)) == (3, 2, {"unpaired": 2})
    assert report.to_json()["shapes"] == {"thumbs": 2, "explicit": 1}
    assert [finding.line for finding in report.findings] == [2, 7]
    assert "a thumb up, and no answer to its prompt a thumb down" in report.findings[0].message


@pytest.mark.parametrize(
    ("good", "bad"),
    [(True, False), ("true", "false"), (1, 0), (1, -1), (1.0, 0.0), ("up", "down"), ("👍", "👎"),
     ("thumbs up", "thumbs_down"), ("Good", "Bad")],
)  # fmt: skip
def test_marks_of_a_thumb(tmp_path: Path, good: Any, bad: Any):
    rows = [{"prompt": "p", "response": str(at), "rating": at} for at in (bad, good)]
    assert checked(tmp_path, rows).accepted == 1
    assert pairs(tmp_path) == [(2, str(good), str(bad))]


def test_conversations_with_a_label(tmp_path: Path):
    rows = [{"messages": [U, GOOD], "label": True}, {"messages": [U, BAD], "label": False}]
    assert checked(tmp_path, rows).accepted == 1
    assert detect({"messages": [U, GOOD], "label": "maths"}) is Shape.MESSAGES


@pytest.mark.parametrize(
    ("row", "code", "says"),
    [
        (thumb("p", "a", 4), "not_a_pair", "label is 4; a thumb is"),
        (thumb("p", "", True), "empty", "completion answer|chosen answer"),
        (thumb(None, "a", True), "not_a_pair", "prompt is missing"),
        (thumb("p", "a", True, response="b"), "not_a_pair", "keep one"),
        (thumb("p", "a", True, tools=["b"]), "not_a_pair", "tools"),
    ],
)
def test_thumbs_that_are_dropped(tmp_path: Path, row: Any, code: str, says: str):
    report = checked(tmp_path, [row])
    assert dict(report.dropped) == {code: 1}
    assert any(each in report.findings[0].message for each in says.split("|"))


def test_one_answer_judged_twice_is_no_pair(tmp_path: Path):
    report = checked(tmp_path, [thumb("p", "a", True), thumb("p", "a", False)])
    assert (report.accepted, dict(report.dropped)) == (0, {"identical": 2})


def test_rows_of_an_array_may_share_a_line(tmp_path: Path):
    rows = [thumb("Why?", f"{at}", label) for at, label in enumerate([True, True, False, False])]
    (tmp_path / "a.json").write_text(json.dumps(rows))
    report = validate(tmp_path / "a.json", "a.json", tmp_path / "pairs.jsonl")
    assert (report.accepted, report.joined, dict(report.dropped)) == (2, 2, {})
    pairs = map(json.loads, (tmp_path / "pairs.jsonl").read_text().splitlines())
    assert [pair["chosen"][0]["content"] for pair in pairs] == ["0", "1"]


def test_what_waits_for_its_pair_lies_on_disk(tmp_path: Path):
    path = tmp_path / "upload"
    rows = [thumb(f"p {at}", "x" * 1500, True) for at in range(3000)]
    path.write_text("".join(json.dumps(row) + "\n" for row in rows))
    (used,) = peaks(validate_here, path)
    assert path.stat().st_size > 4_000_000
    assert used < 3_000_000


def validate_here(path: Path) -> None:
    validate(path, "a.jsonl", path.with_name("pairs.jsonl"))


def test_a_full_disk_is_an_os_error(tmp_path: Path, monkeypatch: pytest.MonkeyPatch):
    def full(*_: Any) -> None:
        raise thumbs.sqlite3.OperationalError("database or disk is full")

    monkeypatch.setattr(thumbs.Thumbs, "_pair", full)
    with pytest.raises(OSError, match="full"):
        checked(tmp_path, [thumb("p", "a", True)])
