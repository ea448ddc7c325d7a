"""The method `reward`: its loss, where a reward is read, and what its checkpoints hold."""

import json
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest
import torch
from peft import PeftModel
from pydantic import ValidationError
from safetensors.torch import load_file
from tokenizers import Tokenizer, models, pre_tokenizers
from transformers import (
    AutoModelForSequenceClassification,
    AutoTokenizer,
    PreTrainedTokenizerFast,
)

from orpo.contract.failures import Failure
from orpo.contract.hyperparameters import Precision
from orpo.contract.methods import parse_method
from orpo.contract.score import Judge
from orpo.gguf import export
from orpo.model import merge
from orpo.model.reward_model import load_reward_model
from orpo.model.rewards import rewards
from orpo.model.score_head import pad_token, score_head, with_score
from orpo.rows.formats import Pair
from orpo.run import estimate
from orpo.tokens.pack import collate
from orpo.tokens.templates import DEFAULT_TEMPLATE, load_tokenizer
from orpo.tokens.tokenize import tokenize_pairs
from tests.orpo import tiny_models
from tests.orpo.judge import Way, adapted, assert_equal, ours
from tests.orpo.tiny_run import END, Bench, checkpoint, numbers, records, state, write_pairs

REWARD: dict[str, Any] = {"type": "reward", "max_steps": 2, "learning_rate": 5e-3}


@pytest.mark.parametrize("tuning", ["lora", "full"])
@pytest.mark.parametrize("center", [0.0, 0.2])
def test_loss_and_gradients_equal_the_reference(tuning: str, center: float) -> None:
    method = parse_method("reward", {"tuning": tuning, "center": center, "token_budget": 60})
    model = adapted(tiny_models.llama(), method)
    assert_equal(model, tiny_models.examples(seed=3, n=5), method)


@pytest.mark.parametrize(
    "make", [tiny_models.gpt2, tiny_models.opt, tiny_models.gemma2, tiny_models.mixtral]
)
def test_other_families(make: Any) -> None:
    method = parse_method("reward", {"tuning": "full", "center": 0.1})
    assert_equal(adapted(make(), method), tiny_models.examples(seed=4, n=4), method)


def test_the_split_into_batches_and_ranks_changes_nothing() -> None:
    examples = tiny_models.examples(seed=5, n=6)
    whole = parse_method("reward", {"tuning": "full"})
    expected, _ = ours(adapted(tiny_models.llama(), whole), examples, whole)
    for settings in ({"token_budget": 40}, {"prefix_sharing": False}):
        method = parse_method("reward", {"tuning": "full", **settings})
        way = Way(order=[3, 1, 5, 0, 2, 4], ranks=3)
        loss, _ = ours(adapted(tiny_models.llama(), method), examples, method, way)
        assert loss == pytest.approx(expected, rel=1e-6)


def test_the_better_answer_gets_the_higher_reward() -> None:
    """A wrong sign would train the opposite, with the same loss at the first step."""
    method = parse_method("reward", {"tuning": "full"})
    model = adapted(tiny_models.llama(), method)
    batch = collate(tiny_models.examples(seed=6, n=1), prefix_sharing=True)
    _, gradients = ours(model, tiny_models.examples(seed=6, n=1), method)
    before = rewards(model, batch, Precision.FP32)
    with torch.no_grad():
        score_head(model).weight -= 0.01 * gradients["score.weight"]  # pyright: ignore[reportArgumentType]
    after = rewards(model, batch, Precision.FP32)
    assert after[0] - after[1] > before[0] - before[1]


def test_an_architecture_without_a_classifier_is_refused() -> None:
    with pytest.raises(Failure, match="MambaForCausalLM") as refused:
        with_score(tiny_models.mamba(), seed=0, pad_token_id=0)
    assert refused.value.param == "base_model"


@pytest.mark.parametrize(
    ("field", "value"),
    [
        ("turns", "all"), ("nll_tokens", "full"), ("nll_reduction", "sequence"), ("n_samples", 1),
        ("sample_tokens", 8), ("center", -0.1), ("lambda", 0.1),
    ],
)  # fmt: skip
def test_settings_without_a_meaning_are_refused_by_name(field: str, value: Any) -> None:
    with pytest.raises(ValidationError) as refused:
        parse_method("reward", {field: value})
    assert [error["loc"] for error in refused.value.errors()] == [(field,)]


@pytest.mark.parametrize("strategy", ["zero2", "zero3"])
def test_a_strategy_that_would_round_the_head_is_refused(strategy: str) -> None:
    with pytest.raises(ValidationError, match="stays in fp32") as refused:
        parse_method("reward", {"strategy": strategy, "processes": 2})
    assert refused.value.errors()[0]["loc"] == ("strategy",)


# --- where the reward is read ---------------------------------------------------------------------


def pair(answer: str, other: str) -> Pair:
    turns = [[{"role": "assistant", "content": text}] for text in (answer, other)]
    return Pair(1, [{"role": "user", "content": "a question"}], turns[0], turns[1])  # pyright: ignore[reportArgumentType]


def test_a_cut_answer_keeps_the_token_that_ends_it(bench: Bench) -> None:
    tokenizer = load_tokenizer(bench.base)
    long, short = "word " * 40, "no"
    for kind, last in (("reward", END), ("orpo", None)):
        method = parse_method(kind, {"max_length": 80})
        (example,), _, _ = tokenize_pairs([pair(long, short)], tokenizer, method)
        assert example.truncated
        assert len(example.prefix) + len(example.chosen) == 80
        assert (example.chosen[-1] == END) is (last == END)
        assert example.rejected is not None
        assert example.rejected[-1] == END
        assert len(example.chosen_mask) == len(example.chosen)


def test_answers_that_only_their_end_would_tell_apart_are_left_out(bench: Bench) -> None:
    method = parse_method("reward", {"max_length": 80})
    same = "word " * 40
    examples, dropped, _ = tokenize_pairs(
        [pair(same + "a", same + "b")], load_tokenizer(bench.base), method
    )
    assert not examples
    assert dropped == {"identical_after_truncation": 1}


def test_the_reward_is_that_of_the_last_token_whatever_stands_beside() -> None:
    model = adapted(tiny_models.llama(), parse_method("reward", {"tuning": "full"}))
    examples = tiny_models.examples(seed=9, n=4)
    together = rewards(model, collate(examples, prefix_sharing=True), Precision.FP32)
    for at, example in enumerate(examples):
        for side, tail in enumerate((example.chosen, example.rejected or [])):
            alone = replace(
                example, chosen=tail, chosen_mask=[True] * len(tail), rejected=None,
                rejected_mask=[],
            )  # fmt: skip
            batch = collate([alone], prefix_sharing=True)
            one = rewards(model, batch, Precision.FP32)
            assert together[2 * at + side].item() == pytest.approx(one.item(), abs=1e-5)


def test_the_pad_token_never_ends_a_turn(bench: Bench) -> None:
    tokenizer = load_tokenizer(bench.base)
    assert tokenizer.pad_token_id == END, "the tokenizer pads with the end of a turn"
    assert pad_token(tokenizer) == END - 1


def test_a_tokenizer_without_another_token_to_pad_with_is_refused() -> None:
    alphabet = sorted(pre_tokenizers.ByteLevel.alphabet())
    backend = Tokenizer(models.BPE({c: i for i, c in enumerate(alphabet)}, []))
    backend.pre_tokenizer = pre_tokenizers.ByteLevel(add_prefix_space=False)
    backend.add_special_tokens(["<end>"])
    tokenizer = PreTrainedTokenizerFast(tokenizer_object=backend, eos_token="<end>")
    tokenizer.chat_template = DEFAULT_TEMPLATE
    with pytest.raises(Failure, match="one special token only") as refused:
        pad_token(tokenizer)
    assert refused.value.param == "base_model"


# --- checkpoints ----------------------------------------------------------------------------------


def padded(tokenizer: Any, texts: list[str], side: str) -> dict[str, torch.Tensor]:
    tokenizer.padding_side = side
    return tokenizer(texts, add_special_tokens=False, padding=True, return_tensors="pt")


def judged(bench: Bench, model: Any, folder: Path) -> None:
    """transformers gives padded rows the rewards that our own code gives them."""
    tokenizer = AutoTokenizer.from_pretrained(folder)
    model = model.float().eval()
    model.config.pad_token_id = tokenizer.pad_token_id
    chats = [
        [{"role": "user", "content": "hi"}, {"role": "assistant", "content": text}]
        for text in ("one.", "a much longer answer, with words!", "x")
    ]
    texts = [tokenizer.apply_chat_template(chat, tokenize=False).rstrip("\n") for chat in chats]
    pairs = [Pair(n, chat[:1], chat[1:], None) for n, chat in enumerate(chats)]  # pyright: ignore[reportArgumentType]
    method = parse_method("supervised", {})
    examples, _, _ = tokenize_pairs(pairs, load_tokenizer(bench.base), method)
    expected = load_reward_model(folder.parent).rewards(collate(examples, prefix_sharing=True))
    assert len(set(expected.tolist())) == 3
    for side in ("right", "left"):
        with torch.no_grad():
            found = model(**padded(tokenizer, texts, side)).logits[:, 0]
        assert found.tolist() == pytest.approx(expected.tolist(), abs=2e-5), side


@pytest.mark.parametrize("precision", ["fp32", "bf16"])
def test_a_full_checkpoint_loads_in_transformers(bench: Bench, precision: str) -> None:
    saved = checkpoint(bench.run("run", tuning="full", precision=precision, **REWARD), 2)
    model = AutoModelForSequenceClassification.from_pretrained(saved / "model", dtype=torch.float32)
    assert type(model).__name__ == "LlamaForSequenceClassification"
    assert (model.config.num_labels, model.config.pad_token_id) == (1, END - 1)
    held = load_file(saved / "model" / "model.safetensors")
    assert held["score.weight"].dtype == torch.float32
    assert torch.equal(held["score.weight"], state(saved)["weight/score.weight"])
    assert "lm_head.weight" not in held
    judged(bench, model, saved / "model")


def test_an_adapter_loads_in_peft_with_its_score(bench: Bench, tmp_path: Path) -> None:
    saved = checkpoint(bench.run("run", **REWARD), 2)
    base = AutoModelForSequenceClassification.from_pretrained(bench.base, num_labels=1)
    adapted = PeftModel.from_pretrained(base, str(saved / "adapter"))
    judged(bench, adapted, saved / "adapter")
    merge.merge(saved, tmp_path / "merged", torch.float32)
    whole = AutoModelForSequenceClassification.from_pretrained(tmp_path / "merged").eval()
    row = AutoTokenizer.from_pretrained(tmp_path / "merged")("a text", return_tensors="pt")
    with torch.no_grad():
        assert torch.allclose(whole(**row).logits, adapted(**row).logits, atol=1e-5)


def test_what_a_checkpoint_says_of_its_judge(bench: Bench) -> None:
    saved = checkpoint(bench.run("run", special_tokens="escape", **REWARD), 2)
    assert json.loads((saved / "judge.json").read_text()) == Judge(
        max_length=256, overlong="drop", special_tokens="escape", reasoning="auto",
        pad_token_id=END - 1,
    )  # fmt: skip
    assert json.loads((saved / "probe.json").read_text())["prompts"] == []
    with pytest.raises(Failure, match="writes no text"):
        export.export(saved, bench.folder / "out.gguf", export.DEFAULT)
    other = checkpoint(bench.run("other", max_steps=2), 2)
    with pytest.raises(Failure, match="holds no reward model"):
        load_reward_model(other)


# --- runs -----------------------------------------------------------------------------------------


def test_a_run_learns_the_choice_and_tells_its_series(bench: Bench) -> None:
    """All chosen answers of the generated pairs end in a full stop, all rejected ones in a mark."""
    run = bench.run(
        "run", type="reward", tuning="full", max_steps=30, learning_rate=2e-3, batch_size=8,
        eval_every=15, checkpoint_every=30, train_path=write_pairs(bench.folder / "more.jsonl", 60),
    )  # fmt: skip
    series = numbers(run)
    first, last = series[0, "held_out"], series[30, "held_out"]
    assert last["loss"] < first["loss"]
    assert last["accuracy"] == 1
    assert last["reward/margin"] == pytest.approx(last["reward/chosen"] - last["reward/rejected"])
    assert last["margin/p05"] > 0
    assert not any(name.startswith(("logps/", "loss/nll", "log_odds")) for name in last)
    pairs = [pair for pair in records(run, "pairs") if pair["step"] == 30]
    assert len(pairs) == 12
    assert all(pair["log_odds_ratio"] > 0 and pair["nll"] is None for pair in pairs)
    assert not records(run, "samples")
    assert "no samples" in records(run, "events")[0]["message"]


def test_an_estimate_counts_no_head(bench: Bench) -> None:
    run = bench.spec("run", type="reward", max_steps=4)
    assert estimate.main(run) == 0
    made = next(e for e in records(run, "events") if e["type"] == "estimated")
    assert made["data"]["memory"]["head_bytes"] == 0
