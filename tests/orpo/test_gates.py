"""Gates 1, 2 and 4 of the engine: equal to the naive fp64 reference, invariant, and finite."""

import copy
import itertools
from collections.abc import Callable
from dataclasses import replace

import pytest
import torch
from transformers import PreTrainedModel

from orpo.contract.hyperparameters import Precision, Turns
from orpo.contract.methods import METHODS, parse_method
from orpo.loss.loss import mean_logps
from orpo.model import policy
from orpo.model.policy import head, prepare, token_logps
from orpo.tokens.pack import collate
from tests.orpo import reference, tiny_models
from tests.orpo.judge import adapted, assert_equal, ours
from tests.orpo.tiny_run import OF_PAIRS

MODES = list(
    itertools.product(
        ("orpo", "supervised"), ("response", "full"), ("token", "sequence"), ("last", "all"),
        ("lora", "full"),
    )
)  # fmt: skip


@pytest.mark.parametrize(("kind", "tokens", "reduction", "turns", "tuning"), MODES)
def test_llama_in_every_mode(kind: str, tokens: str, reduction: str, turns: str, tuning: str):
    method = parse_method(
        kind,
        {"nll_tokens": tokens, "nll_reduction": reduction, "turns": turns, "tuning": tuning,
         "token_budget": 60, "lora_rank": 4},
    )  # fmt: skip
    examples = tiny_models.examples(seed=3, n=5)
    if method.turns is Turns.LAST:
        examples = [replace(e, prefix_mask=[False] * len(e.prefix)) for e in examples]
    assert_equal(adapted(tiny_models.llama(), method), examples, method)


@pytest.mark.parametrize("kind", sorted({*OF_PAIRS} - {"supervised", "reward"}))
@pytest.mark.parametrize("reduction", ["token", "sequence"])
def test_every_method(kind: str, reduction: str):
    settings = {"nll_reduction": reduction, "tuning": "full", "token_budget": 70}
    weight = {"nll_weight": 0.3} if "nll_weight" in METHODS[kind].model_fields else {"lambda": 0.7}
    method = parse_method(kind, {**settings, **weight})
    examples = [
        replace(example, reference=(-3.0 * len(example.chosen), -2.5 * len(example.rejected or [])))
        for example in tiny_models.examples(seed=8, n=5)
    ]
    assert_equal(adapted(tiny_models.llama(), method), examples, method)


@pytest.mark.parametrize(
    "make",
    [
        tiny_models.gpt2,
        tiny_models.opt,
        tiny_models.qwen3,
        tiny_models.gemma2,
        tiny_models.mistral,
        tiny_models.mixtral,
        lambda: tiny_models.llama(tie_word_embeddings=True),
        lambda: tiny_models.llama(num_key_value_heads=1, attention_bias=True),
    ],
    ids=["gpt2", "opt", "qwen3", "gemma2", "mistral", "mixtral", "tied", "multi-query"],
)
@pytest.mark.parametrize("tuning", ["lora", "full"])
def test_other_families(make: Callable[[], PreTrainedModel], tuning: str):
    method = parse_method("orpo", {"lambda": 0.3, "tuning": tuning, "token_budget": 80})
    assert_equal(adapted(make(), method), tiny_models.examples(seed=4, n=5), method)


def test_head_in_tiles(monkeypatch: pytest.MonkeyPatch):
    monkeypatch.setattr(policy, "TILE_BYTES", 4 * tiny_models.VOCAB * 7)
    method = parse_method("orpo", {"tuning": "full"})
    assert_equal(adapted(tiny_models.llama(), method), tiny_models.examples(5, 6), method)


FULL = parse_method("orpo", {"tuning": "full", "lambda": 0.5})


def test_a_model_that_cannot_be_packed_trains_row_by_row():
    model = tiny_models.llama()
    expected = ours(prepare(copy.deepcopy(model)), tiny_models.examples(6, 4), FULL)
    found = ours(model, tiny_models.examples(6, 4), FULL)  # not prepared: eager attention
    assert abs(expected[0] - found[0]) <= 1e-6 * abs(expected[0])
    assert reference.worst_gradient_error(found[1], expected[1])[0] <= 1e-5


@pytest.mark.parametrize("make", [tiny_models.bloom, tiny_models.mamba])
def test_families_that_can_not_be_packed(make: Callable[[], PreTrainedModel]):
    method = parse_method("orpo", {"lambda": 0.3, "tuning": "full", "token_budget": 80})
    model = adapted(make(), method)
    assert policy.why_unpacked(model)
    assert_equal(model, tiny_models.examples(seed=4, n=3), method)


@pytest.mark.parametrize("precision", list(Precision))
def test_hostile_rows_stay_finite(precision: Precision):
    """One-token answers, answers with probability 1, a prompt much longer than its answer."""
    base = tiny_models.examples(7, 1)[0]
    one = replace(base, chosen=[5], chosen_mask=[True], rejected=[6], rejected_mask=[True])
    n = 150
    long = replace(one, prefix=[7] * n, prefix_mask=[False] * n)
    model = prepare(tiny_models.llama())
    head(model).weight.data.mul_(200)  # saturates the softmax: the likeliest token has p = 1
    top = int(model(input_ids=torch.tensor([one.prefix])).logits[0, -1].argmax())
    sure, wrong = replace(one, chosen=[top]), replace(one, rejected=[top])
    batch = collate([sure], prefix_sharing=True)
    assert mean_logps(token_logps(model, batch, precision), batch)[0] == 0
    for examples in ([one], [long], [sure], [wrong], [one, long, sure, wrong]):
        loss, gradients = ours(model, examples, FULL, precision=precision)
        assert torch.tensor(loss).isfinite()
        assert all(g.isfinite().all() for g in gradients.values())
