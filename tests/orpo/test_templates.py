"""Templates that refuse a row, lose a part of it, or print the date; and the default template."""

import json
from pathlib import Path
from typing import Any

import pytest
from tokenizers.processors import TemplateProcessing
from transformers import PreTrainedTokenizerFast

from orpo.contract.methods import parse_method
from orpo.gguf import parity
from orpo.rows.formats import Message, Pair
from orpo.run import probe, train
from orpo.tokens import prepare, rendered
from orpo.tokens.templates import (
    DEFAULT_TEMPLATE,
    DEFAULT_TEMPLATE_WITH_BOS,
    load_tokenizer,
    render,
    template_name,
)
from orpo.tokens.tokenize import tokenize_pairs
from tests.orpo.tiny_models import CHATML, tokenizer
from tests.orpo.tiny_run import TEMPLATE, Bench, checkpoint, records, write_base

# Like Gemma.
NO_SYSTEM = (
    "{% if messages[0]['role'] == 'system' %}"
    "{{ raise_exception('System role not supported') }}{% endif %}"
)
# Like DeepSeek-R1.
STRIPPED = (
    "{% for m in messages %}{% if m['role'] == 'user' %}<U>{{ m['content'] }}{% else %}"
    "{% set c = m['content'].split('</think>')[-1] %}<A>{{ c }}{{ eos_token }}{% endif %}"
    "{% endfor %}{% if add_generation_prompt %}<A><think>\n{% endif %}"
)
# Like Qwen3: a thought of the last turn is kept, with white space of the template's own.
REWRITTEN = (
    "{% for m in messages %}<|im_start|>{{ m['role'] }}\n"
    "{% if '</think>' in m['content'] %}{% set parts = m['content'].split('</think>') %}"
    "{% if loop.last %}<think>\n{{ parts[0].split('<think>')[-1] | trim }}\n</think>\n\n{% endif %}"
    "{{ parts[-1] | trim }}{% else %}{{ m['content'] }}{% endif %}<|im_end|>\n{% endfor %}"
    "{% if add_generation_prompt %}<|im_start|>assistant\n{% endif %}"
)
# Like Llama 3.1, which prints the day alone.
DATED = (
    "<|im_start|>system\nToday Date: {{ strftime_now('%d %b %Y %H:%M') }}<|im_end|>\n" + TEMPLATE
)
TOMORROW = "2031-05-06T07:08:09+02:00"


def user(text: str) -> Message:
    return Message(role="user", content=text)


def assistant(text: str) -> Message:
    return Message(role="assistant", content=text)


def thoughts(chosen: str, rejected: str, line: int = 1) -> Pair:
    return Pair(line, [user("2+2?")], [assistant(chosen)], [assistant(rejected)])


def tokens(pairs: list[Pair], tok: Any, **settings: Any) -> Any:
    return tokenize_pairs(pairs, tok, parse_method("orpo", settings))


def add_systems(bench: Bench, which: int) -> Path:
    """A copy of the bench's rows in which the first `which` have a system turn."""
    rows = [json.loads(line) for line in bench.train_path.read_text().splitlines()]
    for row in rows[:which]:
        row["prompt"].insert(0, {"role": "system", "content": "be kind"})
    path = bench.folder / "systems.jsonl"
    path.write_text("".join(json.dumps(row) + "\n" for row in rows))
    return path


# --- rows that a template refuses -----------------------------------------------------------------


@pytest.mark.parametrize("held_out_fraction", [0.0, 0.4])
def test_rows_that_the_template_refuses_are_counted_and_the_others_train(
    bench: Bench, tmp_path: Path, held_out_fraction: float
) -> None:
    base = write_base(tmp_path / "gemma", template=NO_SYSTEM + TEMPLATE)
    train_path = add_systems(bench, 10)
    run = bench.run(
        "run", base=base, train_path=train_path, max_steps=2, eval_every=2, n_samples=4,
        held_out_fraction=held_out_fraction,
    )  # fmt: skip
    started = records(run, "events")[0]["data"]
    n_dropped = started["dropped"]["template"]
    assert started["pairs"] + n_dropped == 20 - round(20 * held_out_fraction)
    first = started["reasons"]["template"]
    assert "System role not supported" in first["message"]
    assert 1 <= first["line"] <= 10
    prompts = json.loads((checkpoint(run, 2) / "probe.json").read_text())["prompts"]
    assert [len(prompt["messages"]) for prompt in prompts] == [1, 1]
    assert all(len(sample["prompt"]) == 1 for sample in records(run, "samples"))


def test_held_out_rows_that_the_template_refuses_leave_none(bench: Bench, tmp_path: Path) -> None:
    """The run has no held-out pairs then; its probe asks what it trains on."""
    base = write_base(tmp_path / "gemma", template=NO_SYSTEM + TEMPLATE)
    run = bench.spec("run", base=base, max_steps=2)
    spec = json.loads((run / "spec.json").read_text())
    spec["held_out_path"] = str(add_systems(bench, 20))
    (run / "spec.json").write_text(json.dumps(spec))
    assert train.main(run) == 0
    assert records(run, "events")[0]["data"]["held_out_pairs"] == 0
    assert json.loads((checkpoint(run, 2) / "probe.json").read_text())["prompts"]


def test_where_all_rows_are_refused_the_error_has_the_template_s_words(
    bench: Bench, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    base = write_base(tmp_path / "gemma", template=NO_SYSTEM + TEMPLATE)
    run = bench.spec("run", base=base, train_path=add_systems(bench, 20))
    assert prepare.main(run) == 2
    error = json.loads(capsys.readouterr().out.splitlines()[-1])["error"]
    assert "System role not supported." in error["message"]
    assert "16 template" in error["message"]
    assert (error["code"], error["param"]) == ("bad_data", "training_file")
    assert "max_length" not in error["message"] + error["hint"]


# --- the default template -------------------------------------------------------------------------


def bare_base(folder: Path, *, bos: bool, begins: bool) -> Path:
    """A base without a template; with a BOS token; whose tokenizer begins every text with it."""
    write_base(folder, template=None, vocab_size=300)
    tok = PreTrainedTokenizerFast.from_pretrained(folder)
    if bos:
        tok.add_special_tokens({"bos_token": "<bos>"})
    if begins:
        tok.backend_tokenizer.post_processor = TemplateProcessing(
            single="<bos> $A", special_tokens=[("<bos>", tok.bos_token_id)]
        )
    tok.save_pretrained(folder)
    return folder


@pytest.mark.parametrize("begins", [True, False])
def test_the_default_template_begins_with_bos_where_the_tokenizer_does(
    tmp_path: Path, begins: bool
) -> None:
    tok: Any = load_tokenizer(bare_base(tmp_path / "base", bos=True, begins=begins))
    assert template_name(tok) == "default"
    rendered = render(tok, [user("Hi"), assistant("Hello."), user("And?")], True)
    assert rendered.count(tok.bos_token_id) == (1 if begins else 0)
    assert (rendered[0] == tok.bos_token_id) is begins
    (example,), _, _ = tokens([thoughts("Hello.", "Go.")], tok)
    assert example.prefix.count(tok.bos_token_id) == (1 if begins else 0)
    assert tok.bos_token_id not in example.chosen


def test_a_tokenizer_without_bos_gets_the_default_without(tmp_path: Path) -> None:
    tok = load_tokenizer(bare_base(tmp_path / "base", bos=False, begins=False))
    assert tok.chat_template == DEFAULT_TEMPLATE


def test_what_is_saved_begins_with_bos_as_the_training_did(bench: Bench, tmp_path: Path) -> None:
    base = bare_base(tmp_path / "base", bos=True, begins=True)
    saved = checkpoint(bench.run("run", base=base, tuning="full", max_steps=1), 1)
    tok = PreTrainedTokenizerFast.from_pretrained(saved / "model")
    assert tok.chat_template == DEFAULT_TEMPLATE_WITH_BOS
    for prompt in json.loads((saved / "probe.json").read_text())["prompts"]:
        chat: Any = tok.apply_chat_template(prompt["messages"], add_generation_prompt=True)
        assert chat["input_ids"] == prompt["prompt_token_ids"]
        assert chat["input_ids"].count(tok.bos_token_id) == 1
    assert load_tokenizer(saved / "model").chat_template == DEFAULT_TEMPLATE_WITH_BOS


# --- answers that a template cuts -----------------------------------------------------------------


@pytest.mark.parametrize("turns", ["last", "all"])
def test_answers_of_which_the_template_loses_the_thought_are_dropped(turns: str) -> None:
    rows = [
        thoughts("<think>\ntwo and two\n</think>\n\n4", "<think>\nmaybe\n</think>\n\n5"),
        thoughts("<think>\nshort\n</think>\n\n4", "<think>\nlong, long\n</think>\n\n4", 2),
        thoughts("4", "<think>\nmaybe\n</think>\n\n5", 3),
        thoughts("4", "5", 4),
    ]
    examples, dropped, stats = tokens(rows, tokenizer(STRIPPED), turns=turns, reasoning="keep")
    assert [example.line for example in examples] == [4]
    assert dropped == {"answer_lost": 3}
    assert stats["reasons"]["answer_lost"]["line"] == 1
    assert "</think>" in stats["reasons"]["answer_lost"]["message"]


def test_a_thought_that_the_generation_prompt_opens_is_kept() -> None:
    keeps = STRIPPED.replace(".split('</think>')[-1]", "")
    row = thoughts("<think>\ntwo\n</think>\n\n4", "<think>\nfour\n</think>\n\n4")
    tok = tokenizer(keeps)
    (example,), _, _ = tokens([row], tok)
    assert tok.decode(example.prefix) == "<U>2+2?<A><think>\n"
    assert tok.decode(example.chosen) == "two\n</think>\n\n4<|im_end|>"


def test_other_white_space_around_a_thought_is_no_loss() -> None:
    row = thoughts("<think>two</think>4", "<think> four </think> 4")
    tok = tokenizer(REWRITTEN)
    (example,), dropped, _ = tokens([row], tok)
    assert not dropped
    assert tok.decode(example.chosen) == "<think>\ntwo\n</think>\n\n4<|im_end|>"


def test_a_thought_lost_from_an_earlier_turn_of_the_prompt_is_not_trained() -> None:
    """An engine renders that turn without its thought too: it is context, but no answer."""
    prompt = [user("a"), assistant("<think>one</think>first"), user("b")]
    row = Pair(1, prompt, [assistant("yes")], [assistant("no")])
    tok = tokenizer(REWRITTEN)
    (example,), dropped, _ = tokens([row], tok, turns="all")
    assert not dropped
    assert "first" in tok.decode(example.prefix)
    assert not any(example.prefix_mask)


def test_a_thought_lost_from_an_earlier_turn_of_the_answer_drops_the_row_if_it_is_trained() -> None:
    chosen = [assistant("<think>one</think>first"), user("and"), assistant("yes")]
    row = Pair(1, [user("a")], chosen, [assistant("no")])
    kept = tokens([row], tokenizer(REWRITTEN), turns="all", reasoning="keep")
    assert kept[1] == {"answer_lost": 1}
    assert not tokens([row], tokenizer(REWRITTEN), turns="last")[1]


def test_where_all_answers_are_lost_the_error_says_so(bench: Bench, tmp_path: Path) -> None:
    rows = [json.loads(line) for line in bench.train_path.read_text().splitlines()]
    for row in rows:
        row["chosen"][-1]["content"] = "<think>\nhm\n</think>\n\n" + row["chosen"][-1]["content"]
    path = tmp_path / "thoughts.jsonl"
    path.write_text("".join(json.dumps(row) + "\n" for row in rows))
    base = write_base(tmp_path / "stripping", template=STRIPPED)
    run = bench.spec("run", base=base, train_path=path, reasoning="keep")
    assert train.main(run) == 2
    error = records(run, "events")[-1]
    assert "16 answer_lost" in error["message"]
    assert "leaves out text of the answer" in error["message"]
    assert "max_length" not in error["data"]["hint"]


# --- answers that part before their last turn -----------------------------------------------------


def fruit(last: str = "Welcome.") -> Pair:
    def answer(first: str, last: str) -> list[Message]:
        return [assistant(first), user("Thanks."), assistant(last)]

    return Pair(
        1, [user("Name a fruit.")], answer("Pear.", "Welcome."), answer("Chair.", last)
    )  # fmt: skip


def test_the_same_last_turn_is_dropped_where_no_other_is_trained() -> None:
    examples, dropped, stats = tokens([fruit()], tokenizer())
    assert not examples
    assert dropped == {"same_trained_turns": 1}
    assert "turns: all" in stats["reasons"]["same_trained_turns"]["message"]
    assert len(tokens([fruit()], tokenizer(), turns="all")[0]) == 1
    assert len(tokens([fruit("Yes.")], tokenizer())[0]) == 1


def test_a_difference_in_a_turn_that_can_not_be_trained_is_none() -> None:
    """The mark before an answer is not kept in the history, so no later turn can be trained."""
    marked = CHATML.replace("assistant\n{% endif %}", "assistant\n[mark]{% endif %}")
    chosen, rejected = (
        [assistant("Pear."), user("Thanks."), assistant(last)] for last in ("Yes.", "No.")
    )
    row = Pair(1, [user("Name a fruit.")], chosen, rejected)
    assert len(tokens([row], tokenizer(), turns="all")[0]) == 1
    _, dropped, stats = tokens([row], tokenizer(marked), turns="all")
    assert dropped == {"template": 1}
    assert "rewrites" in stats["reasons"]["template"]["message"]


def test_a_file_of_such_answers_names_the_field(
    bench: Bench, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    path = tmp_path / "fruit.jsonl"
    path.write_text(json.dumps(fruit().to_json()) + "\n")
    for turns, status in (("last", 2), ("all", 0)):
        settings = {"turns": turns, "train_path": path, "held_out_fraction": 0}
        assert prepare.main(bench.spec(turns, **settings)) == status
    refused, accepted = (json.loads(line) for line in capsys.readouterr().out.splitlines()[-2:])
    assert refused["error"]["param"] == "turns"
    assert "Set turns to all" in refused["error"]["hint"]
    assert accepted["train"]["pairs"] == 1


# --- templates that print the date ----------------------------------------------------------------


def test_a_probe_says_what_the_trainer_renders_at_other_times(
    bench: Bench, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    base = write_base(tmp_path / "dated", template=DATED)
    saved = checkpoint(bench.run("run", base=base, max_steps=1), 1)
    content = json.loads((saved / "probe.json").read_text())
    prompts = [*content["prompts"], content["hostile"]]
    assert all(prompt["rendered_at"] for prompt in prompts)
    assert rendered.main(saved / "adapter", saved / "probe.json", [TOMORROW]) == 0
    found = json.loads(capsys.readouterr().out.splitlines()[-1])
    assert found["as_recorded"]
    tok = load_tokenizer(base)
    (at,) = found["at"]
    for ids, prompt in zip(at, prompts, strict=True):
        assert ids != prompt["prompt_token_ids"]
        assert "Today Date: 06 May 2031 07:08<|im_end|>" in str(tok.decode(ids))
        assert ids == render(tok, prompt["messages"], True, TOMORROW)


def test_a_gguf_file_is_compared_at_the_time_of_the_training() -> None:
    tok = tokenizer("{{ strftime_now('%d %b %Y') }} " + CHATML)
    ids = render(tok, [user("Hi")], True, TOMORROW)
    assert ids != render(tok, [user("Hi")], True)
    dated = probe.Prompt([user("Hi")], ids, tok.encode("yes"), [], TOMORROW)
    assert parity._same_ids(tok, tok, dated)


def test_another_template_is_not_taken_for_another_time(bench: Bench, tmp_path: Path) -> None:
    base = write_base(tmp_path / "dated", template=DATED)
    saved = checkpoint(bench.run("run", base=base, max_steps=1), 1)
    changed = write_base(tmp_path / "changed", template=DATED.replace("Today Date", "Date"))
    assert not rendered.rendered(changed, saved / "probe.json", [TOMORROW])["as_recorded"]


def test_a_template_without_a_date_notes_no_time() -> None:
    (prompt,) = probe.choose([thoughts("4", "5")], tokenizer(), 512)
    assert prompt.rendered_at is None
