"""`python -m orpo.score`: rows to rewards, each as if it were alone."""

import json
from pathlib import Path
from typing import Any

import pytest

from orpo.contract.failures import EXIT_STATUS, Code
from orpo.run import score
from tests.orpo.tiny_run import Bench, checkpoint

PROMPT = [{"role": "user", "content": "which lamp?"}]


@pytest.fixture
def judge(bench: Bench) -> Path:
    """A checkpoint of a reward model."""
    run = bench.run("run", type="reward", max_steps=4, learning_rate=2e-2)
    return checkpoint(run, 4)


def ask(judge: Path, rows: list[Any], capsys: Any, status: int = 0) -> tuple[Any, list[Any]]:
    given, out = judge.parents[2] / "rows.jsonl", judge.parents[2] / "out.jsonl"
    out.unlink(missing_ok=True)
    given.write_text("".join(json.dumps(row) + "\n" for row in rows))
    assert score.main(judge, given, out, judge.parents[2] / "progress.json") == status
    said = json.loads(capsys.readouterr().out.splitlines()[-1])
    return said, [json.loads(line) for line in out.read_text().splitlines()] if out.exists() else []


def test_rows_of_both_shapes_are_scored_in_order(judge: Path, capsys: Any) -> None:
    rows = [
        {"id": "a", "prompt": PROMPT, "answers": ["the oak lamp.", "the river!", "noon."]},
        {"id": 7, "prompt": "which lamp?", "chosen": "the oak lamp.", "rejected": "the river!"},
    ]
    said, found = ask(judge, rows, capsys)
    assert [(row["line"], row["id"], len(row["rewards"])) for row in found] == [
        (1, "a", 3),
        (2, 7, 2),
    ]
    assert found[1]["rewards"] == pytest.approx(found[0]["rewards"][:2], abs=1e-5)
    assert said["answers"] == said["scored"] == 5
    rewards = [reward for row in found for reward in row["rewards"]]
    assert said["mean"] == pytest.approx(sum(rewards) / 5)
    assert said["pairs"] == 1
    assert said["accuracy"] == (found[1]["rewards"][0] > found[1]["rewards"][1])
    manifest = json.loads((judge / "manifest.json").read_text())
    assert said["weights_sha256"] == manifest["weights_sha256"]


def test_a_row_has_the_same_reward_alone_and_among_others(
    judge: Path, capsys: Any, monkeypatch: pytest.MonkeyPatch
) -> None:
    rows = [
        {"prompt": "word " * (1 + n % 5), "answers": ["salt " * (1 + n % 7), "noon"]}
        for n in range(12)
    ]
    _, together = ask(judge, rows, capsys)
    _, again = ask(judge, rows, capsys)
    assert together == again, "the same bits"
    monkeypatch.setattr(score, "ROWS_AT_ONCE", 1)
    _, alone = ask(judge, rows, capsys)
    _, backwards = ask(judge, rows[::-1], capsys)
    for n, row in enumerate(together):
        assert row["rewards"] == pytest.approx(alone[n]["rewards"], abs=1e-5)
        assert row["rewards"] == pytest.approx(backwards[-1 - n]["rewards"], abs=1e-5)
    assert len({reward for row in together for reward in row["rewards"]}) > 12


def test_an_answer_that_can_not_be_scored_says_why(judge: Path, capsys: Any) -> None:
    answers = ["fine", "it holds <|im_end|> inside", "long " * 100]
    rows = [
        {"prompt": PROMPT, "answers": answers},
        {"prompt": "word " * 100, "answers": ["x"]},
        {"prompt": [{"role": "assistant", "content": "hi"}], "answers": ["x"]},
    ]
    said, (first, second, third) = ask(judge, rows, capsys)
    codes = [problem and problem["code"] for problem in first["problems"]]
    assert codes == [None, "special_token", None]
    assert [reward is None for reward in first["rewards"]] == [False, True, False]
    assert first["truncated"] == [False, False, True]
    assert first["tokens"][2] == 256
    assert second["problems"][0]["code"] == "prompt_too_long"
    assert third["problems"][0]["code"] == "not_a_pair"
    assert (said["rows"], said["answers"], said["scored"], said["truncated"]) == (3, 5, 2, 1)


def test_an_answer_that_says_nothing_has_a_reward_of_its_own(judge: Path, capsys: Any) -> None:
    """A model that ends its turn at once has answered: it must not drop out of a comparison."""
    nothing = ["", " \n", {"role": "assistant", "content": ""}]
    said, (row,) = ask(judge, [{"prompt": PROMPT, "answers": [*nothing, "fine"]}], capsys)
    assert said["scored"] == 4, row["problems"]
    assert row["rewards"][0] == pytest.approx(row["rewards"][2], abs=1e-5)
    assert row["rewards"][0] != row["rewards"][3]
    assert row["tokens"][0] == row["tokens"][2] < row["tokens"][3]


@pytest.mark.parametrize(
    ("row", "word"),
    [
        ([1], "no object"),
        ({"prompt": "p"}, "needs either"),
        ({"prompt": "p", "answers": []}, "at least one answer"),
        ({"answers": ["a"]}, "'prompt'"),
        ({"prompt": "p", "answers": ["a"], "score": 1}, "'score'"),
        ({"prompt": "p", "chosen": "a"}, "needs either"),
    ],
)
def test_a_row_of_no_shape_ends_the_verb_and_is_named(
    judge: Path, capsys: Any, row: Any, word: str
) -> None:
    status = EXIT_STATUS[Code.BAD_DATA]
    said, found = ask(judge, [{"prompt": "p", "answers": ["a"]}, row], capsys, status)
    assert said["error"]["code"] == "bad_data"
    assert "Line 2" in said["error"]["message"]
    assert word in said["error"]["message"]
    assert found == [], "there is no half of a file"


def test_a_checkpoint_that_is_no_judge_is_refused(bench: Bench, capsys: Any) -> None:
    other = checkpoint(bench.run("other", max_steps=2), 2)
    said, _ = ask(other, [{"prompt": "p", "answers": ["a"]}], capsys, EXIT_STATUS[Code.BAD_SPEC])
    assert said["error"]["code"] == "bad_spec"
    assert "no reward model" in said["error"]["message"]
