"""Thoughts of answers: kept, stripped, or stripped where the template leaves them out."""

import json
from pathlib import Path
from typing import Any

import pytest

from orpo.contract.hyperparameters import Reasoning
from orpo.contract.methods import parse_method
from orpo.contract.spec import read_spec
from orpo.rows.formats import Message, Pair
from orpo.run import probe, train
from orpo.tokens import cache, data, prepare, show
from orpo.tokens.templates import render
from orpo.tokens.tokenize import tokenize_pairs
from tests.orpo.reasoning_templates import (
    GEMMA,
    GPT_OSS,
    GRANITE,
    OPENS_AND_KEEPS,
    QWEN3,
    QWEN3_THINKING,
    R1,
)
from tests.orpo.tiny_models import CHATML, tokenizer
from tests.orpo.tiny_run import Bench, records, write_base


def user(text: str) -> Message:
    return Message(role="user", content=text)


def said(content: str, thought: str = "") -> Message:
    turn = Message(role="assistant", content=content)
    if thought:
        turn["reasoning_content"] = thought
    return turn


def row(chosen: Message, rejected: Message, *before: Message) -> Pair:
    return Pair(1, [*before, user("2+2?")], [chosen], [rejected])


BESIDE = row(said("4", "two and two"), said("5", "maybe"))
INSIDE = row(said("<think>\ntwo and two\n</think>\n\n4"), said("<think>maybe</think>5"))


def tokenised(pair: Pair, template: str, **settings: Any) -> tuple[str, str, str, Any, Any]:
    """The text of the prefix and of both tails, what was dropped, and the statistics."""
    tok = tokenizer(template)
    method = parse_method("orpo", settings)
    examples, dropped, stats = tokenize_pairs([pair], tok, method)
    prefix, chosen, rejected = "", "", ""
    for each in examples:
        parts = (each.prefix, each.chosen, each.rejected or [])
        prefix, chosen, rejected = (str(tok.decode(part)) for part in parts)
    return prefix, chosen, rejected, dict(dropped), stats


KEPT = [
    (QWEN3, BESIDE, "<think>\ntwo and two\n</think>\n\n4<|im_end|>"),
    (QWEN3, INSIDE, "<think>\ntwo and two\n</think>\n\n4<|im_end|>"),
    (GPT_OSS, BESIDE, "<analysis>two and two<|im_end|><|im_start|>assistant<final>4<|im_end|>"),
    (GRANITE, INSIDE, "<think>\ntwo and two\n</think>\n\n4<|im_end|>"),
    (CHATML, INSIDE, "<think>\ntwo and two\n</think>\n\n4<|im_end|>"),
    (GEMMA, INSIDE, "<think>\ntwo and two\n</think>\n\n4<|im_end|>"),
]


@pytest.mark.parametrize("reasoning", ["keep", "auto"])
@pytest.mark.parametrize(("template", "pair", "chosen"), KEPT)
def test_thoughts_that_a_template_shows_are_trained(
    template: str, pair: Pair, chosen: str, reasoning: str
) -> None:
    _, found, _, dropped, stats = tokenised(pair, template, reasoning=reasoning)
    assert not dropped
    assert found == chosen
    assert stats["reasoning_stripped"] == 0


LOST = [
    (R1, INSIDE, "</think>\n\n4<|im_end|>", "</think>\n\n5<|im_end|>"),
    (R1, BESIDE, "</think>\n\n4<|im_end|>", "</think>\n\n5<|im_end|>"),
    (CHATML, BESIDE, "4<|im_end|>", "5<|im_end|>"),
    (GRANITE, BESIDE, "4<|im_end|>", "5<|im_end|>"),
]


@pytest.mark.parametrize(("template", "pair", "chosen", "rejected"), LOST)
def test_thoughts_that_a_template_leaves_out_are_counted_or_refused(
    template: str, pair: Pair, chosen: str, rejected: str
) -> None:
    for reasoning in ("auto", "strip"):
        *found, dropped, stats = tokenised(pair, template, reasoning=reasoning)
        assert not dropped
        assert found[1:] == [chosen, rejected]
        assert stats["reasoning_stripped"] == 1
    *_, dropped, stats = tokenised(pair, template, reasoning="keep")
    assert dropped == {"answer_lost": 1}
    assert "Set reasoning to strip" in stats["reasons"]["answer_lost"]["message"]


def test_an_open_thought_is_closed_in_both_answers_though_one_had_none() -> None:
    pair = row(said("<think>hm</think>4"), said("5"))
    prefix, chosen, rejected, *_ = tokenised(pair, R1)
    assert prefix.endswith("<A><think>\n")
    assert (chosen, rejected) == ("</think>\n\n4<|im_end|>", "</think>\n\n5<|im_end|>")


PLAIN = row(said("4"), said("5"))
UNOPENED = row(said("two and two\n</think>\n\n4"), said("maybe</think>5"))
# What is trained of a pair without thoughts: nothing of it may stand inside a thought.
WITHOUT = [
    (R1, "</think>\n\n4<|im_end|>"),
    (OPENS_AND_KEEPS, "</think>\n\n4<|im_end|>"),
    (QWEN3, "<think>\n\n</think>\n\n4<|im_end|>"),
    (QWEN3_THINKING, "\n</think>\n\n4<|im_end|>"),
    (GPT_OSS, "<final>4<|im_end|>"),
    (GRANITE, "4<|im_end|>"),
    (CHATML, "4<|im_end|>"),
    (GEMMA, "4<|im_end|>"),
]


@pytest.mark.parametrize("reasoning", ["keep", "strip", "auto"])
@pytest.mark.parametrize(("template", "chosen"), WITHOUT)
def test_an_answer_without_a_thought_is_not_trained_as_one(
    template: str, chosen: str, reasoning: str
) -> None:
    prefix, *found, dropped, stats = tokenised(PLAIN, template, reasoning=reasoning)
    assert not dropped
    assert found == [chosen, chosen.replace("4", "5")]
    assert prefix.rstrip().endswith("<think>") == chosen.lstrip().startswith("</think>")
    assert stats["reasoning_stripped"] == 0


def test_one_answer_alone_may_have_a_thought() -> None:
    pair = row(said("<think>hm</think>4"), said("5"))
    for template, thought in (
        (OPENS_AND_KEEPS, "hm</think>4<|im_end|>"),
        (QWEN3_THINKING, "hm\n</think>\n\n4<|im_end|>"),
    ):
        _, chosen, rejected, dropped, stats = tokenised(pair, template)
        assert not dropped
        assert chosen == thought
        assert rejected.lstrip() == "</think>\n\n5<|im_end|>"
        assert stats["reasoning_stripped"] == 0


def test_a_thought_that_the_prompt_had_opened() -> None:
    for reasoning in ("auto", "strip"):
        *found, dropped, stats = tokenised(UNOPENED, R1, reasoning=reasoning)
        assert not dropped
        assert found[1:] == ["</think>\n\n4<|im_end|>", "</think>\n\n5<|im_end|>"]
        assert stats["reasoning_stripped"] == 1
    assert tokenised(UNOPENED, R1, reasoning="keep")[3] == {"answer_lost": 1}
    kept = tokenised(UNOPENED, OPENS_AND_KEEPS)
    assert kept[1:4] == ("two and two\n</think>\n\n4<|im_end|>", "maybe</think>5<|im_end|>", {})


@pytest.mark.parametrize("turns", ["last", "all"])
def test_a_last_answer_that_can_not_be_trained_is_never_left_out_silently(turns: str) -> None:
    # Its prompt would end in <think>, which the template does not write between turns.
    pair = Pair(1, [user("2+2?")], [said("4"), user("and 1?"), said("5")], [said("no")])
    for template in (R1, OPENS_AND_KEEPS):
        *_, dropped, stats = tokenised(pair, template, turns=turns)
        assert dropped == {"template": 1}
        assert "rewrites the turn before the last answer" in stats["reasons"]["template"]["message"]


@pytest.mark.parametrize("template", [QWEN3, GPT_OSS, GRANITE, CHATML, GEMMA])
@pytest.mark.parametrize("pair", [BESIDE, INSIDE])
def test_strip_removes_what_the_template_would_show(template: str, pair: Pair) -> None:
    *texts, dropped, stats = tokenised(pair, template, reasoning="strip")
    assert not dropped
    assert "two" not in "".join(texts)
    assert "maybe" not in "".join(texts)
    assert stats["reasoning_stripped"] == 1


def test_a_short_thought_is_not_taken_for_the_answer_that_holds_it() -> None:
    pair = row(said("4", "4"), said("5", "a"))
    assert tokenised(pair, CHATML, reasoning="keep")[3] == {"answer_lost": 1}
    assert tokenised(pair, CHATML)[4]["reasoning_stripped"] == 1


@pytest.mark.parametrize(
    ("pair", "words"),
    [
        (row(said("4", "a"), said("4", "b")), "in their thoughts only"),
        (row(said("<think>a</think>"), said("5")), "nothing but a thought"),
    ],
)
def test_where_nothing_is_left_the_pair_is_dropped(pair: Pair, words: str) -> None:
    *_, dropped, stats = tokenised(pair, CHATML, reasoning="strip")
    assert dropped == {"answer_lost": 1}
    assert words in stats["reasons"]["answer_lost"]["message"]


def test_what_a_template_does_to_earlier_thoughts_is_counted() -> None:
    before = (user("a"), said("first", "one"))
    for template, count in ((QWEN3, 1), (R1, 1), (GPT_OSS, 0)):
        *_, dropped, stats = tokenised(row(said("4"), said("5"), *before), template)
        assert not dropped
        assert stats["history_thoughts_dropped"] == count
        assert stats["reasoning_stripped"] == 0


def test_prompts_keep_their_thoughts_whatever_happens_to_answers() -> None:
    before = (user("a"), said("<think>one</think>first"))
    assert "one" in tokenised(row(said("4"), said("5"), *before), CHATML, reasoning="strip")[0]


def test_the_tokens_of_a_row_say_what_was_left_out() -> None:
    method = parse_method("orpo", {})
    before = (user("a"), said("first", "one"))
    for pair, facts in (
        (row(said("4", "hm"), said("5")), (True, False)),
        (row(said("4"), said("5"), *before), (False, True)),
        (row(said("4"), said("5")), (False, False)),
    ):
        found = show.shown(pair, tokenizer(), method)
        assert (found["reasoning_stripped"], found["history_thoughts_dropped"]) == facts


def test_a_turn_of_weight_zero_is_not_trained() -> None:
    first = said("one")
    first["weight"] = 0
    chosen = [first, user("and"), said("yes")]
    pair = Pair(1, [user("a"), first, user("b")], chosen, [said("no")])
    examples, *_ = tokenize_pairs([pair], tokenizer(), parse_method("orpo", {"turns": "all"}))
    (example,) = examples
    assert not any(example.prefix_mask)
    trained = [t for t, on in zip(example.chosen, example.chosen_mask, strict=True) if on]
    assert tokenizer().decode(trained) == "yes<|im_end|>"


def test_the_setting_decides_the_tokens_and_old_checkpoints_stay_valid(bench: Bench) -> None:
    specs = {r: read_spec(bench.spec(r, max_steps=1, reasoning=r)) for r in Reasoning}
    keys = {cache._key(spec, spec.method) for spec in specs.values()}
    prints = {r: data.fingerprint(spec) for r, spec in specs.items()}
    assert len(keys) == len({*prints.values()}) == 3
    assert prints[Reasoning.AUTO] == data.fingerprint(read_spec(bench.spec("plain", max_steps=1)))


def test_a_run_says_what_it_stripped_and_keeps_its_first_pairs(
    bench: Bench, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    rows = [json.loads(line) for line in bench.train_path.read_text().splitlines()]
    for each in rows[:10]:
        each["chosen"][-1]["reasoning_content"] = "hm"
    path = tmp_path / "thoughts.jsonl"
    path.write_text("".join(json.dumps(each) + "\n" for each in rows))
    base = write_base(tmp_path / "base", template=R1)
    run = bench.spec("run", base=base, train_path=path, held_out_fraction=0, max_steps=1)
    assert prepare.main(run) == 0
    found = json.loads(capsys.readouterr().out.splitlines()[-1])
    assert found["train"]["reasoning_stripped"] == 10
    evidence = json.loads((run / "rendered.json").read_text())
    assert [pair["line"] for pair in evidence] == [rows[at]["line"] for at in range(3)]
    assert evidence[0]["chosen"]["tokens"][0]["trained"]
    assert train.main(run) == 0
    started = records(run, "events")[0]
    assert started["data"]["reasoning_stripped"] == 10
    assert "10 pairs are trained without the thoughts" in started["message"]


def test_a_probe_has_both_prompts_of_a_template_that_reads_enable_thinking() -> None:
    tok = tokenizer(QWEN3)
    for prompt in probe.choose([BESIDE], tok, 512):
        assert prompt.thinking
        assert prompt.thinking["on"] == prompt.prompt_token_ids
        assert tok.decode(prompt.thinking["off"]).endswith("<think>\n\n</think>\n\n")
        assert prompt.thinking["off"] == render(
            tok, prompt.messages, True, None, None, enable_thinking=False
        )
    assert all(prompt.thinking is None for prompt in probe.choose([BESIDE], tokenizer(), 512))
