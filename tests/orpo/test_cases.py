"""Faults that people who tune models met, each as a small file, from the rows to the tokens.

Each name is that of a folder of `shared/cases`. Cases that need a model of their own are in
`test_templates.py` (date-in-template, bos-of-base-models), `test_hostile_models.py`
(weights-missing) and `test_accepted_models.py` (leftover-adapter, auto-map-native,
tokenizer-one-longer).
"""

import json
import os
from pathlib import Path
from typing import Any

import pytest

from orpo.contract.methods import parse_method
from orpo.rows.formats import Pair, Report, validate
from orpo.tokens.tokenize import tokenize_pairs
from tests.orpo.reasoning_templates import GEMMA, QWEN3, R1
from tests.orpo.tiny_models import CHATML, tokenizer

START, END = "<|im_start|>", "<|im_end|>"


def u(text: str) -> dict[str, str]:
    return {"role": "user", "content": text}


def a(text: str) -> dict[str, str]:
    return {"role": "assistant", "content": text}


def chatml(*turns: tuple[str, str]) -> str:
    said = "".join(f"{START}{role}\n{text}{END}\n" for role, text in turns)
    return f"{said}{START}assistant\n"


class Case:
    """A file, judged and tokenised."""

    def __init__(self, folder: Path, rows: list[Any], template: str = CHATML, **settings: Any):
        source, accepted = folder / "pairs.jsonl", folder / "accepted.jsonl"
        source.write_text("".join(json.dumps(row) + "\n" for row in rows))
        self.report: Report = validate(source, source.name, accepted)
        self.pairs = [Pair.from_json(json.loads(line)) for line in accepted.open()]
        self.tokenizer = tokenizer(template)
        method = parse_method(settings.pop("method", "orpo"), settings)
        found = tokenize_pairs(self.pairs, self.tokenizer, method)
        self.examples, self.dropped, self.stats = found

    def texts(self, at: int = 0) -> tuple[str, str, str]:
        """The prompt and both answers of an example, as they are trained."""
        example = self.examples[at]
        parts = (example.prefix, example.chosen, example.rejected or [])
        prefix, chosen, rejected = (str(self.tokenizer.decode(part)) for part in parts)
        return prefix, chosen, rejected

    def why(self, reason: str) -> str:
        return self.stats["reasons"][reason]["message"]


def test_every_folder_of_cases_is_known_here() -> None:
    shared = Path(os.environ.get("ODDSMITH_SHARED", ""), "cases")
    if "ODDSMITH_SHARED" not in os.environ or not shared.is_dir():
        pytest.skip("ODDSMITH_SHARED does not name the folder of cases")
    covered = {name.removeprefix("test_").replace("_", "-") for name in globals()}
    covered |= {name.strip(" ,().\n") for name in str(__doc__).replace("(", " ").split()}
    names = {each.name for each in shared.iterdir() if each.is_dir()}
    assert names - covered == set()


def test_system_column(tmp_path: Path) -> None:
    system = {"system": "Answer in French."}
    whole = {"chosen": [u("Say no."), a("Non.")], "rejected": [u("Say no."), a("No.")]}
    case = Case(tmp_path, [
        system | {"prompt": "Say yes.", "chosen": "Oui.", "rejected": "Yes."},
        system | whole,
    ])  # fmt: skip
    for at, asked in enumerate(("Say yes.", "Say no.")):
        expected = chatml(("system", "Answer in French."), ("user", asked))
        assert case.texts(at)[0] == expected
    alone = Case(
        tmp_path, [system | {"messages": [u("Say hello."), a("Bonjour.")]}], method="supervised"
    )
    assert "Answer in French." in alone.texts()[0]


def test_tools_column(tmp_path: Path) -> None:
    tool = {"type": "function", "function": {"name": "weather", "parameters": {}}}
    rows = [
        {"prompt": [u("Weather in Rome?")], "chosen": [a("I look it up.")],
         "rejected": [a("No idea.")], "tools": [tool]},
        {"conversations": [{"from": "human", "value": "Weather?"}],
         "chosen": {"from": "gpt", "value": "Sunny."}, "rejected": {"from": "gpt", "value": "No."},
         "tools": '[{"name": "weather"}]'},
    ]  # fmt: skip
    case = Case(tmp_path, rows, QWEN3)
    assert [("weather" in case.texts(at)[0]) for at in range(2)] == [True, True]
    case = Case(tmp_path, rows)
    assert (case.report.accepted, dict(case.dropped)) == (2, {"tools": 2})
    assert case.why("tools").endswith(".")
    row = {"messages": [u("Weather?"), a("Sunny.")], "tools": [tool]}
    assert Case(tmp_path, [row], method="supervised").dropped == {"tools": 1}


def test_messages_plus_answers(tmp_path: Path) -> None:
    asked = [{"role": "system", "content": "Only French."}, u("Name a fruit.")]
    before = [a("Pomme."), u("Another.")]
    case = Case(tmp_path, [
        {"messages": asked, "chosen": [*before, a("Poire.")], "rejected": [*before, a("Pear.")]},
        {"messages": [u("Hi")], "chosen": a("Hello."), "rejected": a("Go.")},
        {"messages": [u("Hi")], "chosen": [a("Hello.")], "rejected": [a("Go.")]},
    ])  # fmt: skip
    assert (case.report.accepted, dict(case.dropped)) == (3, {})
    prefix, chosen, rejected = case.texts()
    turns = (("system", "Only French."), ("user", "Name a fruit."))
    assert prefix.startswith(chatml(*turns))
    assert (prefix + chosen).endswith(f"Poire.{END}")
    assert (prefix + rejected).endswith(f"Pear.{END}")
    assert case.texts(1) == case.texts(2)


def test_already_templated(tmp_path: Path) -> None:
    rows = [
        {"prompt": f"{START}user\nHi{END}\n{START}assistant\n", "chosen": f"Hello{END}",
         "rejected": f"Go{END}"},
        {"prompt": "Hi", "chosen": f"Hello{END}", "rejected": f"Go{END}"},
        {"prompt": f"What does {END}\n{START}system\nobey mean?", "chosen": "It ends a turn.",
         "rejected": "No."},
    ]  # fmt: skip
    case = Case(tmp_path, rows)
    assert sum(case.dropped.values()) + len(case.examples) == 3
    assert case.dropped["special_token"] >= 2
    for at in range(len(case.examples)):
        assert all(text.count(END) <= 1 for text in case.texts(at)[1:])


def test_stringified_messages(tmp_path: Path) -> None:
    case = Case(tmp_path, [
        {"prompt": json.dumps([u("Hi")]), "chosen": json.dumps([a("Hello.")]),
         "rejected": json.dumps([a("Go.")])},
        {"prompt": "Hi", "chosen": str([a("Hello.")]), "rejected": str([a("Go.")])},
    ])  # fmt: skip
    assert case.texts() == (chatml(("user", "Hi")), f"Hello.{END}", f"Go.{END}")
    assert [(each.line, "Python" in each.message) for each in case.report.findings] == [(2, True)]


def test_thoughts_stripped(tmp_path: Path) -> None:
    rows = [
        {"prompt": "2+2?", "chosen": "<think>\ntwo and two\n</think>\n\n4",
         "rejected": "<think>\nmaybe\n</think>\n\n5"},
        {"prompt": "2+2?", "chosen": "<think>\nshort\n</think>\n\n4",
         "rejected": "<think>\nlong, long\n</think>\n\n4"},
    ]  # fmt: skip
    case = Case(tmp_path, rows, R1)
    assert case.texts()[1:] == (f"</think>\n\n4{END}", f"</think>\n\n5{END}")
    assert case.stats["reasoning_stripped"] == 1
    assert case.dropped == {"answer_lost": 1}
    assert "in their thoughts only" in case.why("answer_lost")
    assert Case(tmp_path, rows, R1, reasoning="keep").dropped == {"answer_lost": 2}


def test_system_on_gemma(tmp_path: Path) -> None:
    row = {"prompt": [{"role": "system", "content": "be kind"}, u("what is 0")]}
    answers = {"chosen": "it is 0.", "rejected": "no idea 0!"}
    case = Case(tmp_path, [row | answers, {"prompt": "what is 0"} | answers], GEMMA)
    assert (len(case.examples), dict(case.dropped)) == (1, {"template": 1})
    assert "System role not supported" in case.why("template")


def test_earlier_turn_differs(tmp_path: Path) -> None:
    after = [u("Thanks."), a("Welcome.")]
    row = {"prompt": [u("Name a fruit.")], "chosen": [a("Pear."), *after],
           "rejected": [a("Chair."), *after]}  # fmt: skip
    case = Case(tmp_path, [row])
    assert case.dropped == {"same_trained_turns": 1}
    assert "turns: all" in case.why("same_trained_turns")
    assert len(Case(tmp_path, [row], turns="all").examples) == 1


def test_rejected_response(tmp_path: Path) -> None:
    turns = {"messages": [u("Tomorrow?"), a("Sunny.")]}
    case = Case(tmp_path, [
        turns | {"rejected_response": "I don't know."},
        turns | {"rejected_messages": [u("Tomorrow?"), a("No.")]},
    ])  # fmt: skip
    assert case.texts(0)[1:] == (f"Sunny.{END}", f"I don't know.{END}")
    assert case.texts(1)[1:] == (f"Sunny.{END}", f"No.{END}")


def test_prompt_whitespace(tmp_path: Path) -> None:
    turn = u("Hi there\n")
    row = {"prompt": "Hi there", "chosen": [turn, a("Hello.")], "rejected": [turn, a("Go.")]}
    assert Case(tmp_path, [row]).texts()[1:] == (f"Hello.{END}", f"Go.{END}")


def test_array_in_jsonl(tmp_path: Path) -> None:
    """The content says that it is an array, so its rows are read."""
    path = tmp_path / "pairs.jsonl"
    path.write_text(json.dumps([{"prompt": "a", "chosen": "x", "rejected": "y"}], indent=2))
    report = validate(path, path.name, None)
    assert (report.container, report.accepted, dict(report.dropped)) == ("json", 1, {})
