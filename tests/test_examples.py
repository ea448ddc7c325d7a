"""Tests of the example preference set: its shape, its prompts, and its style checker."""

from __future__ import annotations

import importlib.util
import json
import subprocess
import sys
from pathlib import Path
from types import ModuleType

import pytest

EXAMPLES = Path(__file__).resolve().parent.parent / "examples"
TRAIN = EXAMPLES / "short-answers.jsonl"
HELD_OUT = EXAMPLES / "short-answers.held-out.jsonl"
BOTH = pytest.mark.parametrize("path", [TRAIN, HELD_OUT], ids=["train", "held-out"])


def load_style() -> ModuleType:
    """Load the checker by its path, since examples/ is not a package."""
    spec = importlib.util.spec_from_file_location("short_answers_style", EXAMPLES / "style.py")
    assert spec is not None
    assert spec.loader is not None
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    return module


style = load_style()


def rows(path: Path) -> list[dict]:
    return [json.loads(line) for line in path.read_text(encoding="utf-8").splitlines()]


def texts(path: Path, field: str) -> list[str]:
    return [row[field][0]["content"] for row in rows(path)]


def plain(prompt: str) -> str:
    return "".join(c for c in prompt.lower() if c.isalnum() or c == " ").strip()


def test_counts() -> None:
    assert len(rows(TRAIN)) >= 168
    assert len(rows(HELD_OUT)) >= 42


@BOTH
def test_every_row_has_one_turn_a_field(path: Path) -> None:
    roles = {"prompt": "user", "chosen": "assistant", "rejected": "assistant"}
    for row in rows(path):
        assert set(row) == set(roles)
        for field, role in roles.items():
            assert [set(turn) for turn in row[field]] == [{"role", "content"}]
            assert row[field][0]["role"] == role
            content = row[field][0]["content"]
            assert content
            assert content == content.strip()


@BOTH
def test_files_end_with_one_newline(path: Path) -> None:
    text = path.read_text(encoding="utf-8")
    assert text.endswith("}\n")
    assert "\n\n" not in text


def test_no_prompt_occurs_twice() -> None:
    prompts = [plain(p) for path in (TRAIN, HELD_OUT) for p in texts(path, "prompt")]
    assert len(set(prompts)) == len(prompts)


def test_held_out_prompts_share_few_words_with_training_ones() -> None:
    # A paraphrase keeps most long words, in any order; short words are not significant.
    def long_words(prompt: str) -> set[str]:
        return {word for word in plain(prompt).split() if len(word) > 3} - {"does", "should"}

    train = [long_words(prompt) for prompt in texts(TRAIN, "prompt")]
    for prompt in texts(HELD_OUT, "prompt"):
        words = long_words(prompt)
        assert max(len(words & other) / len(words | other) for other in train) <= 0.5, prompt


@pytest.mark.parametrize("field", ["chosen", "rejected"])
def test_no_two_answers_are_equal(field: str) -> None:
    answers = texts(TRAIN, field) + texts(HELD_OUT, field)
    assert len(set(answers)) == len(answers)


@pytest.mark.parametrize("field", ["chosen", "rejected"])
def test_answers_do_not_repeat_one_wording(field: str) -> None:
    # After the style's marker, the same six words in a row are rare in answers written separately.
    answers = texts(TRAIN, field) + texts(HELD_OUT, field)
    seen: dict[tuple[str, ...], int] = {}
    for answer in answers:
        words = answer.lower().replace(style.MARKER.lower(), "").split()
        for run in {tuple(words[i : i + 6]) for i in range(len(words) - 5)}:
            seen[run] = seen.get(run, 0) + 1
    assert max(seen.values()) <= 6


@BOTH
def test_lengths(path: Path) -> None:
    for chosen in texts(path, "chosen"):
        assert 3 <= len(style.sentences(chosen)[0].split()) <= 12, chosen
        assert len(chosen.split()) <= 40, chosen
    for rejected in texts(path, "rejected"):
        assert 40 <= len(rejected.split()) <= 90, rejected


@BOTH
def test_checker_accepts_every_chosen_answer(path: Path) -> None:
    answers = texts(path, "chosen")
    assert [(a, style.broken_rules(a)) for a in answers if not style.passes(a)] == []
    assert style.rate(answers) == 1.0


@BOTH
def test_checker_rejects_every_rejected_answer(path: Path) -> None:
    answers = texts(path, "rejected")
    assert [a for a in answers if style.passes(a)] == []
    # Each answer also breaks another rule than the one about the marker.
    assert [a for a in answers if len(style.broken_rules(a)) < 2] == []
    assert style.rate(answers) == 0.0


GOOD = "No, keep bread at room temperature. The reason is that bread goes stale faster in the cold."


@pytest.mark.parametrize(
    "answer",
    [
        GOOD,
        f"  {GOOD}\n",
        "Wash it. The reason is that dirt scratches paint.",
        "Yes, do it! The reason is that it saves time.",
        "Use 2.5 liters of water. The reason is that pasta swells to twice its size.",
        "Wait an hour. The reason is that glue sets slowly. Thick glue takes longer still.",
        "An adult needs about 7-8 hours. The reason is that the brain must recover.",
        'Use "fewer" with coins. The reason is that you can count them.',
        'Shake your head. The reason is that it means "no."',
    ],
)
def test_passes(answer: str) -> None:
    assert style.broken_rules(answer) == []
    assert style.passes(answer)


@pytest.mark.parametrize(
    ("answer", "rule"),
    [
        ("", "layout"),
        (GOOD.replace(". The", ".\nThe"), "layout"),
        (f"- {GOOD}", "layout"),
        (f"1. {GOOD}", "layout"),
        (GOOD.replace("bread at", "**bread** at"), "layout"),
        (f"No. {GOOD[4:].split('. ')[1]}", "first sentence"),
        (GOOD.replace("temperature.", "temperature?"), "first sentence"),
        (
            GOOD.replace("No,", "No, in nearly every house that I have ever lived in,"),
            "first sentence",
        ),
        (GOOD.replace("No, keep", "Sure, keep"), "filler"),
        (GOOD.replace("No, keep", "Great question, keep"), "filler"),
        (GOOD.replace("No, keep", "Well, keep"), "filler"),
        (GOOD.replace("The reason is that bread", "Bread"), "marker"),
        (GOOD.replace("The reason is that", "This is because"), "marker"),
        ("The reason is that bread goes stale. Keep it warm.", "marker"),
        ("Keep it warm. It is bread. The reason is that cold is bad for it.", "marker"),
        (GOOD.replace("bread goes", "the reason is that bread goes"), "marker once"),
        ("Keep it at room temperature.", "sentences"),
        (f"{GOOD} It turns hard. It tastes dull.", "sentences"),
        ("Keep it warm. The reason is that cold.", "reason length"),
        (GOOD.replace("cold.", "cold" + " and the dark" * 10 + "."), "reason length"),
        (GOOD[:-1], "unfinished"),
        (GOOD[:-6] + "cold, so what?", "unfinished"),
        (f"{GOOD} Let me know how it goes.", "closing offer"),
        (f"{GOOD} I hope this helps.", "closing offer"),
    ],
)
def test_broken_rules(answer: str, rule: str) -> None:
    assert rule in style.broken_rules(answer)
    assert not style.passes(answer)


def test_every_rule_is_documented() -> None:
    documented = style.passes.__doc__
    assert documented is not None
    answers = ["", f"{GOOD} {GOOD} Let me know.", "Sure, - yes"]
    for rule in {rule for answer in answers for rule in style.broken_rules(answer)}:
        assert f"\n    {rule} " in documented


def test_command_line(tmp_path: Path) -> None:
    lines = "\n".join(json.dumps(answer) for answer in [GOOD, "1. Keep it warm.\n2. Eat it."])
    done = subprocess.run(
        [sys.executable, str(EXAMPLES / "style.py")],
        input=lines + "\n",
        capture_output=True,
        text=True,
        check=True,
        cwd=tmp_path,
    )
    assert done.stdout == "0.500\n"


def test_rate() -> None:
    assert style.rate([]) == 0.0
    assert style.rate([GOOD, "Sure!", GOOD, "It depends."]) == 0.5
