"""`oddsmith evaluate` and `evaluations` for the suite `held_out`, against a fake API."""

from pathlib import Path
from typing import Any

from tests.cli.conftest import Oddsmith
from tests.cli.fake_api import FakeApi, listed
from tests.cli.test_evaluations import EVALUATION, PATH, SCORE, example, measured

LEFT_OUT = {"reason": "prompt_too_long", "pairs": 2, "line": 7, "message": "No room."}
HELD_OUT: dict[str, Any] = {
    **EVALUATION,
    "suite": {**EVALUATION["suite"], "name": "held_out", "title": "Held-out pairs"},
    "counts": {"of": 20, "prompts": 20, "answered": 18},
    "is_subset": False,
    "is_incomplete": True,
    "excluded": [LEFT_OUT],
    "scores": [
        {**SCORE, "metric": "accuracy"},
        {
            "metric": "log_odds_ratio", "category": None, "model": measured(0.31, 0.2, 0.4),
            "baseline": measured(-0.02, -0.1, 0.1), "difference": measured(0.33, 0.25, 0.4),
        },
    ],
}  # fmt: skip


def test_a_file_of_pairs_is_uploaded_as_such_and_few_pairs_are_said(
    api: FakeApi, oddsmith: Oddsmith, tmp_path: Path
) -> None:
    example(api, HELD_OUT)
    pairs = tmp_path / "pairs.jsonl"
    pairs.write_text('{"prompt": "Say hi.", "chosen": "hi", "rejected": "no"}\n')
    shown = oddsmith(
        "evaluate", "tuned", "--against", "base", "--suite", "held_out", "--data", str(pairs)
    )
    assert shown.exit_code == 0, shown.stderr
    (sent,) = api.sent("POST", "/v1/files")
    assert b'name="purpose"\r\n\r\nfine-tune' in sent.body
    lines = [" ".join(line.split()) for line in shown.stdout.splitlines()]
    assert {"pairs 20", "measured 18", "left out 2 prompt_too_long"} <= set(lines)
    ratio = "0.31 (0.20 to 0.40) -0.02 (-0.10 to 0.10) +0.33 (+0.25 to +0.40)"
    assert f"log_odds_ratio {ratio}" in lines
    said = " ".join(lines)
    assert "Few pairs: 18 were measured." in said
    assert "Incomplete: 18 of 20 pairs were measured." in said
    assert "More than chance: accuracy of tuned is higher than that of base" in said


def test_an_item_of_a_pair_shows_both_answers_and_the_numbers(
    api: FakeApi, oddsmith: Oddsmith
) -> None:
    numbers = {"log_odds_ratio": 0.5, "logps_chosen": -1.0, "logps_rejected": -1.25}
    item = {
        "line": 3, "category": None, "change": -0.25, "cut_off": False, "judgments": [],
        "turns": [[{"role": "user", "content": "Say hi."}]], "answers": [],
        "baseline_answers": [],
        "reference": {
            "chosen": [{"role": "assistant", "content": "hi"}],
            "rejected": [{"role": "assistant", "content": "no"}],
        },
        "result": {**numbers, "baseline": {**numbers, "log_odds_ratio": 0.75}},
    }  # fmt: skip
    api.on(f"GET {PATH}/items", listed(item))
    shown = oddsmith("evaluations", "items", "eval-1")
    lines = [" ".join(line.split()) for line in shown.stdout.splitlines()]
    assert lines[:6] == [
        "line 3 -0.25",
        "prompt Say hi.",
        "chosen hi",
        "rejected no",
        "model log odds ratio +0.50 (log-probs -1.00 and -1.25)",
        "baseline log odds ratio +0.75 (log-probs -1.00 and -1.25)",
    ]
