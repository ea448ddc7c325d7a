"""The tokens of a pair as a run computes them, with the text of each."""

import json
from dataclasses import replace
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
        tokens, mask = found[part]["tokens"], getattr(example, f"{part}_mask")
        assert [each["id"] for each in tokens] == getattr(example, part)
        assert [each["trained"] for each in tokens] == mask
        assert (found[part]["n_tokens"], found[part]["n_trained"]) == (len(mask), sum(mask))
    assert (found["line"], found["dropped"], found["truncated"]) == (7, None, False)
    assert found["template"] == "model"


def test_their_texts_are_the_conversation(base: Path) -> None:
    found = shown(base)
    prefix, chosen, rejected = (found[p]["tokens"] for p in ("prefix", "chosen", "rejected"))
    assert "Why?" in text(prefix)
    assert text(prefix + chosen, trained=True) == "Naïve 🙂.<|im_end|>"
    assert text(rejected, trained=True) == "Never.<|im_end|>"
    # A character of several tokens stands at its last one.
    assert [each["text"] for each in chosen].count("🙂") == 1


def test_a_pair_that_a_run_leaves_out_has_a_reason(base: Path) -> None:
    found = shown(base, max_length=8)
    assert found["dropped"] == "prompt_too_long"
    assert "max_length" in found["why"]
    assert (found["prefix"], found["chosen"], found["rejected"]) == (None, None, None)


def test_what_is_cut_is_said(base: Path) -> None:
    whole = shown(base)
    cut = shown(base, max_length=whole["prefix"]["n_tokens"] + 5)
    assert cut["truncated"]
    assert cut["chosen"]["n_tokens"] < whole["chosen"]["n_tokens"]


def test_a_long_part_shows_its_first_tokens_and_its_length(base: Path) -> None:
    long = Message(role="assistant", content="x" * 1500)
    found = shown(base, replace(PAIR, chosen=[long]))["chosen"]
    assert (found["n_tokens"], len(found["tokens"])) == (1501, show.SHOWN)


def printed(base: Path, folder: Path, capsys: Any, pair: Pair, **settings: Any) -> dict[str, Any]:
    request = folder / "request.json"
    request.write_text(json.dumps({"pair": pair.to_json(), "method": settings}))
    assert show.main(base, request) == 0
    return json.loads(capsys.readouterr().out.splitlines()[-1])


def test_a_base_with_a_short_context_cuts_as_a_run_does(tmp_path: Path, capsys: Any) -> None:
    base = write_base(tmp_path / "short", max_position_embeddings=30)
    assert printed(base, tmp_path, capsys, PAIR)["truncated"]


def test_a_row_without_a_rejected_answer_is_for_supervised_tuning(
    base: Path, tmp_path: Path, capsys: Any
) -> None:
    found = printed(base, tmp_path, capsys, replace(PAIR, rejected=None))
    assert (found["dropped"], found["rejected"]) == (None, None)
    assert found["chosen"]["n_trained"] > 5


def test_the_verb_prints_them(base: Path, tmp_path: Path, capsys: Any) -> None:
    found = printed(base, tmp_path, capsys, PAIR, max_length=100)
    assert found == shown(base, max_length=100)
