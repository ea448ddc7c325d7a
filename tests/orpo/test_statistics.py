"""Sizes of pairs for a base model, with a tokenizer that makes a token of each byte."""

import json
from dataclasses import replace
from pathlib import Path

import pytest

from orpo.contract.methods import parse_method
from orpo.rows.formats import Pair
from orpo.tokens.overlong import overlong
from orpo.tokens.statistics import main, spread, statistics
from orpo.tokens.templates import load_tokenizer
from tests.orpo.tiny_run import write_base


@pytest.fixture(scope="module")
def base(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return write_base(tmp_path_factory.mktemp("statistics") / "base")


def pair(line: int, chosen: str, rejected: str | None = "No.", system: bool = False) -> Pair:
    prompt = [{"role": "system", "content": "Be."}] if system else []
    answers = [
        None if text is None else [{"role": "assistant", "content": text}]
        for text in (chosen, rejected)
    ]
    prompt = [*prompt, {"role": "user", "content": "Why?"}]
    return Pair(line, prompt, *answers)  # type: ignore[arg-type]


PAIRS = [
    pair(1, "Because."),
    pair(2, "x" * 500, system=True),
    pair(3, "Same.", "Same."),
    pair(4, "Yes."),
]


def test_tokens_turns_and_a_job(base: Path) -> None:
    method = parse_method("orpo", {"max_length": 100, "batch_size": 2, "n_epochs": 2.0})
    found = statistics(PAIRS, load_tokenizer(base), method, 4000)
    tokens = found["tokens"]
    # An answer ends with the token <|im_end|>.
    assert tokens["chosen"]["max"] == 500 + 1
    assert tokens["rejected"]["p50"] == len("No.") + 1
    assert tokens["sequence"]["max"] > 501
    longest = tokens["sequence"]["max"]
    assert found["cut"] == {
        "longer": 1,
        "trained": 1,
        "lines": [2],
        "message": "1 of 3 sampled pairs is longer than 100 tokens: 1 would be trained on, cut, "
        "and 0 left out. Cut answers lose their end: the model does not learn to stop there.",
        "repairs": [{"max_length": longest, "longer": 0}],
    }
    assert found["left_out"] == [
        {
            "code": "identical",
            "pairs": 1,
            "lines": [3],
            "message": "Both answers have the same tokens.",
            "hint": "Bring other pairs.",
        }
    ]
    assert found["dropped"] == {"identical": 1}
    assert found["turns"] == [{"turns": 2, "pairs": 4}]
    assert found["roles"] == {"user": 4, "assistant": 4, "system": 1}
    assert 0 < found["saved_by_sharing"] < 0.5
    job = found["job"]
    assert (job["held_out_pairs"], job["pairs"]) == (64, round((4000 - 64) * 3 / 4))
    assert job["steps"] == 2 * 1476
    # The prefix has 23 tokens, with the system message 36; the second pair's answer is cut.
    kept = (23 + 9 + 4) + (100 + 4) + (23 + 5 + 4)
    assert job["tokens"] == round(2 * 2952 * kept / 3)


def test_pairs_without_room_for_an_answer_are_named(base: Path) -> None:
    long = [pair(line, f"{line}", f"no {line}") for line in range(1, 5)]
    long[1] = replace(long[1], prompt=[{"role": "user", "content": "x" * 400}])
    method = parse_method("orpo", {"max_length": 100, "overlong": "drop"})
    found = statistics(long, load_tokenizer(base), method, 4)
    assert (found["cut"]["longer"], found["cut"]["trained"]) == (1, 0)
    assert found["cut"]["message"].endswith("0 would be trained on, cut, and 1 left out.")
    (left_out,) = found["left_out"]
    assert (left_out["code"], left_out["lines"]) == ("prompt_too_long", [2])
    assert "Raise max_length" in left_out["hint"]
    # With the suggested length, nothing is cut or left out.
    (repair,) = found["cut"]["repairs"]
    raised = method.model_copy(update={"max_length": repair["max_length"]})
    again = statistics(long, load_tokenizer(base), raised, 4)
    assert (again["cut"]["longer"], again["left_out"], again["cut"]["repairs"]) == (0, [], [])


def test_lengths_that_leave_none_or_one_percent_cut() -> None:
    lengths = list(range(101, 301))  # 200 pairs
    found = overlong(lengths, [7, 3], 250, 10_000)
    assert (found["longer"], found["lines"]) == (50, [3, 7])
    assert found["repairs"] == [
        {"max_length": 300, "longer": 0},
        {"max_length": 298, "longer": 2},
    ]
    # The base model reads less than is needed.
    assert overlong(lengths, [], 250, 280)["repairs"] == [{"max_length": 280, "longer": 20}]
    assert overlong(lengths, [], 280, 280)["repairs"] == []
    assert overlong(lengths, [], 299, 280)["repairs"] == []
    assert overlong(lengths[:2], [], 101, 280)["repairs"] == [{"max_length": 102, "longer": 0}]
    assert overlong([], [], 8, 280)["message"] is None
    assert len(overlong(lengths, range(150), 250, 300)["lines"]) == 100


def test_rows_without_a_rejected_answer(
    base: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    sample, request = tmp_path / "sample", tmp_path / "request"
    rows = [pair(n, "x" * n, None).to_json() for n in range(1, 4)]
    sample.write_text("".join(json.dumps(row) + "\n" for row in rows))
    request.write_text(json.dumps({"rows": 3, "method": {"max_length": 64}}))
    assert main(base, request, sample) == 0
    found = json.loads(capsys.readouterr().out)
    assert (found["sampled"], found["dropped"], found["saved_by_sharing"]) == (3, {}, 0)
    assert found["tokens"]["rejected"]["max"] == 0


def test_nothing_that_can_be_tokenised(base: Path) -> None:
    found = statistics([PAIRS[2]], load_tokenizer(base), parse_method("orpo", {}), 1)
    assert (found["job"], found["tokens"]["chosen"], found["saved_by_sharing"]) == (
        None,
        None,
        None,
    )


def test_a_spread() -> None:
    assert spread([]) is None
    found = spread([0, 1, 2, 3, 100])
    assert found is not None
    assert (found["mean"], found["p50"], found["p95"], found["max"]) == (21.2, 2, 100, 100)
    assert (found["bin_width"], sum(found["histogram"]), found["histogram"][0]) == (5, 5, 4)
    assert len(found["histogram"]) <= 24
