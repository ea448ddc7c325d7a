"""Templates, borders, masks and lengths: training uses the tokens that an engine sees."""

import json
import os
from collections.abc import Iterable
from pathlib import Path
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from orpo.contract.methods import parse_method
from orpo.rows.formats import Message, Pair, Shape, parse
from orpo.tokens.templates import DEFAULT_TEMPLATE, load_tokenizer, render
from orpo.tokens.tokenize import Example, tokenize_pairs
from tests.orpo.tiny_models import CHATML, tokenizer

BOS_TEMPLATE = "{{ bos_token }}" + CHATML
SYSTEM_TEMPLATE = (
    "{% if messages[0]['role'] != 'system' %}<|im_start|>system\nbe kind<|im_end|>\n{% endif %}"
    + CHATML
)
# Like reasoning models: a thought is opened for the answer, but not kept in the history.
THOUGHT_TEMPLATE = CHATML.replace("assistant\n{% endif %}", "assistant\n<think>\n{% endif %}")
NO_END_TEMPLATE = (
    "{% for m in messages %}{{ m['role'] }}: {{ m['content'] }}\n{% endfor %}"
    "{% if add_generation_prompt %}assistant:{% endif %}"
)
STRICT_TEMPLATE = "{{ raise_exception('no') }}"


def user(text: str) -> Message:
    return Message(role="user", content=text)


def assistant(text: str) -> Message:
    return Message(role="assistant", content=text)


def pair(prompt: str | list[Message], chosen: str, rejected: str | None) -> Pair:
    turns = [user(prompt)] if isinstance(prompt, str) else prompt
    return Pair(1, turns, [assistant(chosen)], [assistant(rejected)] if rejected else None)


def method(kind: str = "orpo", **settings: Any):
    return parse_method(kind, settings)


def one(given: Pair, tok: Any = None, **settings: Any) -> Example:
    examples, dropped, _ = tokenize_pairs([given], tok or tokenizer(), method(**settings))
    assert not dropped
    return examples[0]


def reasons(given: Pair, tok: Any = None, **settings: Any) -> dict[str, int]:
    return dict(tokenize_pairs([given], tok or tokenizer(), method(**settings))[1])


def trained(tok: Any, ids: list[int], mask: Iterable[bool]) -> str:
    return tok.decode([token for token, on in zip(ids, mask, strict=True) if on])


TEXT = st.text(st.sampled_from("ab yes\nno\t é漢🙂"), min_size=1, max_size=30).filter(str.strip)


@settings(max_examples=60, deadline=None)
@given(prompt=TEXT, chosen=TEXT, rejected=TEXT)
@pytest.mark.parametrize("template", [CHATML, BOS_TEMPLATE, SYSTEM_TEMPLATE, THOUGHT_TEMPLATE])
def test_prompts_and_labels(template: str, prompt: str, chosen: str, rejected: str):
    """If no merge crosses the border, the prefix is the engine's prompt, and tails are answers.

    If one does, the tokens of the whole conversation are used; prefix and tails decode to it.
    """
    tok = tokenizer(template, bos="<s>")
    row = pair(prompt, chosen, rejected)
    examples, dropped, stats = tokenize_pairs([row], tok, method())
    if chosen == rejected:
        assert dropped["identical"] == 1
        return
    example = examples[0]
    engine = render(tok, row.prompt, add_generation_prompt=True)
    for tail, mask, text in (
        (example.chosen, example.chosen_mask, chosen),
        (example.rejected or [], example.rejected_mask, rejected),
    ):
        whole = tok.decode(example.prefix + tail)
        assert whole.endswith((text.strip() + "<|im_end|>", text + "<|im_end|>"))
        assert mask[-1], "the token that ends the turn is a label"
        if not stats["border_merges"]:
            assert example.prefix == engine[: len(example.prefix)]
            assert (example.prefix + tail)[: len(engine)] == engine
            assert example.prefix == engine, "the prefix ends where the answer begins"
            assert all(mask)


def test_end_of_turn_is_trained_though_it_is_also_the_padding():
    tok = tokenizer()
    example = one(pair("what", "yes", "no"))
    assert tok.pad_token_id == tok.eos_token_id == example.chosen[-1]
    assert trained(tok, example.chosen, example.chosen_mask) == "yes<|im_end|>"


def test_a_shared_first_word_stays_in_the_tails():
    example = one(pair("what", "the answer is yes", "the answer is no"))
    tok = tokenizer()
    assert tok.decode(example.chosen).startswith("the answer")
    assert tok.decode(example.prefix).endswith("assistant\n")


def test_a_merge_across_the_border_is_counted_and_labelled():
    tok = tokenizer()
    row = pair("what", "\n\n\nyes", "no")
    examples, _, stats = tokenize_pairs([row], tok, method())
    assert stats["border_merges"] == 1
    example = examples[0]
    assert (
        example.prefix == render(tok, row.prompt, add_generation_prompt=True)[: len(example.prefix)]
    )
    assert "yes" in trained(tok, example.chosen, example.chosen_mask)
    assert trained(tok, example.rejected or [], example.rejected_mask) == "no<|im_end|>"


def test_no_second_bos():
    tok = tokenizer(BOS_TEMPLATE, bos="<s>")
    example = one(pair("what", "yes", "no"), tok)
    assert example.prefix.count(tok.bos_token_id) == 1
    assert render(tok, [user("what")], add_generation_prompt=True).count(tok.bos_token_id) == 1


def test_a_model_without_template_gets_the_default_and_ends_with_its_own_eos(tmp_path: Path):
    tokenizer(None, eos="<s>").save_pretrained(tmp_path)
    tok = load_tokenizer(tmp_path)
    assert tok.chat_template == DEFAULT_TEMPLATE
    examples, _, stats = tokenize_pairs([pair("what", "yes", "no")], tok, method())
    assert stats["template"] == "default"
    assert examples[0].chosen[-1] == tok.eos_token_id
    assert tokenize_pairs([pair("a", "b", "c")], tokenizer(), method())[2]["template"] == "model"


@pytest.mark.parametrize("template", [DEFAULT_TEMPLATE, NO_END_TEMPLATE])
def test_a_model_without_eos_works(template: str):
    tok = tokenizer(template, eos=None)
    example = one(pair("what", "yes", "no"), tok)
    assert "yes" in trained(tok, example.chosen, example.chosen_mask)


def test_a_template_without_an_end_of_turn_gets_the_eos():
    tok = tokenizer(NO_END_TEMPLATE)
    example = one(pair("what", "yes", "no"), tok)
    assert trained(tok, example.chosen, example.chosen_mask) == " yes<|im_end|>"


def test_all_turns_labels_earlier_answers_for_the_likelihood_alone():
    tok = tokenizer()
    row = pair([user("a"), assistant("one"), user("b")], "yes", "no")
    example = one(row, turns="all")
    assert trained(tok, example.prefix, example.prefix_mask) == "one<|im_end|>"
    assert trained(tok, example.chosen, example.chosen_mask) == "yes<|im_end|>"
    assert not any(one(row, turns="last").prefix_mask)


def test_answers_of_several_turns():
    chosen = [assistant("one"), user("and"), assistant("yes")]
    row = Pair(1, [user("a")], chosen, [assistant("no")])
    tok, last, every = tokenizer(), one(row), one(row, turns="all")
    assert trained(tok, last.chosen, last.chosen_mask) == "yes<|im_end|>"
    assert trained(tok, every.chosen, every.chosen_mask) == "one<|im_end|>yes<|im_end|>"


LONG = " ".join(["question"] * 60)


def test_a_prompt_that_leaves_no_room_is_dropped_or_cut():
    row = pair(LONG, "yes", "no")
    assert reasons(row, max_length=32) == {"prompt_too_long": 1}
    example = one(row, max_length=32, overlong="truncate_prompt")
    assert example.truncated
    assert tokenizer().decode(example.prefix).endswith("<|im_start|>assistant\n")
    assert len(example.prefix) + max(len(example.chosen), len(example.rejected or ())) <= 32
    assert example.chosen[-1] == tokenizer().eos_token_id


def test_cutting_a_prompt_keeps_the_bos():
    tok = tokenizer(BOS_TEMPLATE, bos="<s>")
    example = one(pair(LONG, "yes", "no"), tok, max_length=32, overlong="truncate_prompt")
    assert example.prefix[0] == tok.bos_token_id


def test_long_answers_are_cut_on_the_right():
    example = one(pair("what", LONG, "no"), max_length=24)
    assert example.truncated
    assert len(example.prefix) + len(example.chosen) == 24
    assert example.chosen[-1] != tokenizer().eos_token_id
    assert (example.rejected or [])[-1] == tokenizer().eos_token_id


def test_one_token_of_room_is_enough():
    row = pair("what", "yes", "no")
    n = len(one(row).prefix)
    example = one(row, max_length=n + 1)
    assert (len(example.chosen), len(example.rejected or ())) == (1, 1)
    assert reasons(row, max_length=n) == {"prompt_too_long": 1}


@pytest.mark.parametrize(
    ("given", "settings", "reason"),
    [
        (
            pair("what", LONG + " yes", LONG + " no"),
            {"max_length": 24},
            "identical_after_truncation",
        ),
        (pair("what", "yes", "yes"), {}, "identical"),
        (pair("what", "yes", None), {}, "no_rejected"),
    ],
)
def test_pairs_that_teach_nothing_are_dropped(given: Pair, settings: dict[str, Any], reason: str):
    assert reasons(given, **settings) == {reason: 1}


def test_a_template_that_refuses_is_a_reason_not_a_crash():
    assert reasons(pair("a", "b", "c"), tokenizer(STRICT_TEMPLATE)) == {"template": 1}


def test_supervised_takes_single_answers():
    example = one(pair("what", "yes", None), kind="supervised")
    assert example.rejected is None
    assert example.rejected_mask == []


def test_statistics_count_tokens():
    examples, _, stats = tokenize_pairs([pair("a", "b", "c")] * 3, tokenizer(), method())
    assert stats["tokens"] == sum(e.n_tokens for e in examples)
    assert stats["tokens_unshared"] - stats["tokens"] == sum(len(e.prefix) for e in examples)


def test_real_pairs_render_as_an_engine_would():
    """Long prompts of real data are dropped before training; with them TRL 1.16 gives NaN."""
    shared = Path(os.environ.get("ODDSMITH_SHARED", Path(__file__).parents[3] / "shared"))
    path = shared / "data" / "dpo_en_demo.jsonl"
    if not path.exists():
        pytest.skip(f"{path} is absent: real pairs are not part of the project")
    values = [json.loads(line) for line in path.read_text().splitlines()]
    pairs = [parse(value, Shape.SHAREGPT, line) for line, value in enumerate(values, 1)]
    tok = tokenizer()
    examples, dropped, stats = tokenize_pairs(pairs, tok, method(max_length=1024))
    assert dropped["prompt_too_long"] > 0
    assert stats["border_merges"] == 0
    by_line = {row.line: row for row in pairs}
    for example in examples:
        assert example.prefix == render(tok, by_line[example.line].prompt, True)
        assert any(example.chosen_mask)
        assert any(example.rejected_mask)
