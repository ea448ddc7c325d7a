"""The tokens of a pair as a run computes them, with the text of each."""

import json
from pathlib import Path
from typing import Any

import pytest

from orpo.contract.methods import parse_method
from orpo.rows.formats import Message, Pair
from orpo.tokens import show
from orpo.tokens.templates import load_tokenizer
from orpo.tokens.tokenize import tokenize_pairs
from tests.orpo.tiny_run import write_base

PAIR = Pair(
    7,
    [Message(role="user", content="Why?")],
    [Message(role="assistant", content="Naïve 🙂.")],
    [Message(role="assistant", content="Never.")],
)


@pytest.fixture(scope="module")
def base(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return write_base(tmp_path_factory.mktemp("show") / "base")


def shown(base: Path, pair: Pair = PAIR, **settings: Any) -> dict[str, Any]:
    return show.shown(pair, load_tokenizer(base), parse_method("orpo", settings))


def text(tokens: list[dict[str, Any]], **wanted: bool) -> str:
    return "".join(each["text"] for each in tokens if wanted.items() <= each.items())


def test_tokens_are_those_of_a_run(base: Path) -> None:
    found = shown(base)
    (example,), _, _ = tokenize_pairs([PAIR], load_tokenizer(base), parse_method("orpo", {}))
    for part in ("prefix", "chosen", "rejected"):
        assert [each["id"] for each in found[part]] == getattr(example, part)
        assert [each["trained"] for each in found[part]] == getattr(example, f"{part}_mask")
    assert (found["line"], found["dropped"], found["truncated"]) == (7, None, False)
    assert found["template"] == "model"


def test_their_texts_are_the_conversation(base: Path) -> None:
    found = shown(base)
    assert "Why?" in text(found["prefix"])
    assert text(found["prefix"] + found["chosen"], trained=True) == "Naïve 🙂.<|im_end|>"
    assert text(found["rejected"], trained=True) == "Never.<|im_end|>"
    # A character of several tokens stands at its last one.
    assert [each["text"] for each in found["chosen"]].count("🙂") == 1


def test_a_pair_that_a_run_leaves_out_has_a_reason(base: Path) -> None:
    found = shown(base, max_length=8)
    assert found["dropped"] == "prompt_too_long"
    assert "max_length" in found["why"]
    assert (found["prefix"], found["chosen"], found["rejected"]) == (None, None, None)


def test_what_is_cut_is_said(base: Path) -> None:
    whole = shown(base)
    cut = shown(base, max_length=len(whole["prefix"]) + 5)
    assert cut["truncated"]
    assert len(cut["chosen"]) < len(whole["chosen"])


def test_the_verb_prints_them(base: Path, tmp_path: Path, capsys: Any) -> None:
    request = tmp_path / "request.json"
    request.write_text(json.dumps({"pair": PAIR.to_json(), "method": {"max_length": 100}}))
    assert show.main(base, request) == 0
    assert json.loads(capsys.readouterr().out.splitlines()[-1]) == shown(base, max_length=100)
