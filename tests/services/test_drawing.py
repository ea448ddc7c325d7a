"""Prompts of a file that are drawn as the items of an evaluation."""

import json
from pathlib import Path
from typing import Any

import pytest

from services.evaluations import prompts
from services.evaluations.suites import SUITES
from services.platform.errors import Invalid


def user(text: str) -> dict[str, Any]:
    return {"role": "user", "content": text}


def asked(line: int, *turns: str, **row: Any) -> dict[str, Any]:
    """A row of a file of prompts in its normal form."""
    messages = [[user(turn)] for turn in turns]
    return {"line": line, "prompt": messages[0], "turns": messages, "category": "c", "row": row}


def write(tmp_path: Path, rows: list[Any]) -> Path:
    path = tmp_path / "rows.jsonl"
    path.write_text("".join(f"{json.dumps(row)}\n" for row in rows))
    return path


def test_each_prompt_is_asked_once_with_what_the_suite_needs(tmp_path: Path) -> None:
    path = write(tmp_path, [
        asked(1, "Why?", key=7, instruction_id_list=["x"], kwargs=[{"n": "a\0b"}], other=1),
        asked(3, "Why?", key=8),
        asked(4, "Why?", "And then?"),
    ])  # fmt: skip
    found = prompts.draw(path, SUITES["ifeval"], empty=2)
    assert found.counts == {"of": 2, "prompts": 2, "empty": 2, "repeated": 1}
    first, second = found.items
    assert first == {
        "place": 0, "line": 1, "category": "c", "turns": [[user("Why?")]],
        "reference": {"key": 7, "instruction_id_list": ["x"], "kwargs": [{"n": "a\ufffdb"}]},
        "answers": [], "baseline_answers": [], "judgments": [],
    }  # fmt: skip
    assert second["turns"] == [[user("Why?")], [user("And then?")]]
    assert second["reference"] == {}


def test_the_prompts_of_pairs_are_asked_as_a_chat_request_has_them(tmp_path: Path) -> None:
    said = {"role": "assistant", "content": "a", "reasoning_content": "t", "weight": 0}
    row = {"line": 1, "prompt": [user("Why?"), said, user("How?")], "chosen": [], "rejected": []}
    (item,) = prompts.draw(write(tmp_path, [row]), SUITES["custom"]).items
    sent = {"role": "assistant", "content": "a", "reasoning": "t"}
    assert item["turns"] == [[user("Why?"), sent, user("How?")]]
    assert (item["category"], item["reference"]) == (None, {})


def test_a_smaller_limit_draws_a_part_of_a_larger_one(tmp_path: Path) -> None:
    path = write(tmp_path, [asked(n + 1, f"Question {n}?") for n in range(50)])
    suite = SUITES["custom"]
    ten, five = (prompts.draw(path, suite, limit=n, seed=3) for n in (10, 5))
    lines = [{item["line"] for item in found.items} for found in (ten, five)]
    assert lines[1] < lines[0]
    assert [item["place"] for item in five.items] == list(range(5))
    assert five == prompts.draw(path, suite, limit=5, seed=3)
    assert five.counts == {"of": 50, "prompts": 5, "empty": 0, "repeated": 0}


def test_too_many_prompts_and_none_are_refused(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    path, suite = write(tmp_path, [asked(1, "a"), asked(2, "b")]), SUITES["custom"]
    empty = tmp_path / "empty"
    empty.write_text("")
    with pytest.raises(Invalid, match="no prompt") as why:
        prompts.draw(empty, suite)
    assert why.value.param == "data"
    monkeypatch.setattr(prompts, "MOST", 1)
    for limit, says in ((None, "2 prompts, and an evaluation asks 1 at most"), (2, "1 at most")):
        with pytest.raises(Invalid, match=says) as why:
            prompts.draw(path, suite, limit=limit)
        assert why.value.param == "limit"
    assert len(prompts.draw(path, suite, limit=1).items) == 1
    monkeypatch.setattr(prompts, "MOST_BYTES", 10)
    with pytest.raises(Invalid, match="MB of prompts"):
        prompts.draw(path, suite, limit=1)


FITS = {"suites": ["custom", "reward"], "unfit": {"ifeval": "Line 2: No."}, "repeated": 1}


@pytest.mark.parametrize(
    ("found", "suite", "limit", "param"),
    [
        (FITS, "custom", None, None),
        (None, "custom", None, None),
        (None, "ifeval", None, "data"),
        (FITS, "ifeval", None, "data"),
        (FITS, "mt_bench", None, "data"),
    ],
    ids=["fits", "pairs", "pairs for ifeval", "unfit", "unknown"],
)
def test_a_file_that_does_not_fit_is_refused_by_field(
    found: Any, suite: str, limit: int | None, param: str | None
) -> None:
    if param is None:
        prompts.refuse_unfit("file-1", 5, found, SUITES[suite], limit)
        return
    with pytest.raises(Invalid, match="file-1") as why:
        prompts.refuse_unfit("file-1", 5, found, SUITES[suite], limit)
    assert why.value.param == param
    assert ("Line 2: No." in str(why.value)) == (suite == "ifeval" and found is not None)


def test_samples_count_towards_the_most_answers(tmp_path: Path) -> None:
    suite, most = SUITES["diversity"], prompts.MOST // 20
    prompts.refuse_unfit("file-1", most, None, suite, None, samples=20)
    prompts.refuse_unfit("file-1", most + 1, None, suite, most, samples=20)
    for limit in (None, most + 1):
        with pytest.raises(Invalid, match="Set `limit` to 1,000 or less") as why:
            prompts.refuse_unfit("file-1", most + 1, None, suite, limit, samples=20)
        assert why.value.param == "limit"
    path = write(tmp_path, [asked(1, "a"), asked(2, "b")])
    assert len(prompts.draw(path, suite, samples=20).items) == 2


def test_a_file_with_too_many_prompts_needs_a_limit() -> None:
    suite = SUITES["custom"]
    with pytest.raises(Invalid, match="Set `limit`") as why:
        prompts.refuse_unfit("file-1", prompts.MOST + 2, FITS, suite, None)
    assert why.value.param == "limit"
    prompts.refuse_unfit("file-1", prompts.MOST + 1, FITS, suite, None)
    prompts.refuse_unfit("file-1", prompts.MOST + 2, FITS, suite, 10)
