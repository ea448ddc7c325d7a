"""Gates 1, 2 and 4 of the engine: equal to the naive fp64 reference, invariant, finite."""

import copy
import itertools
import random
from collections.abc import Callable, Sequence
from dataclasses import replace

import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from torch import Tensor
from transformers import PreTrainedModel

from orpo import policy
from orpo.adapter import with_lora
from orpo.hyperparameters import NllTokens, Precision, Turns
from orpo.loss import counts, mean_logps, objective
from orpo.methods import METHODS, Method, Preference, parse_method
from orpo.pack import collate, micro_batches
from orpo.policy import Policy, causal_lm, head, prepare, token_logps, trainable
from orpo.tokenize import Example
from tests.orpo import reference, tiny_models


def ours(
    model: Policy, examples: Sequence[Example], method: Method, order: Sequence[int] | None = None
) -> tuple[float, dict[str, Tensor]]:
    """Loss and gradients of one step, as the trainer takes it."""
    examples = [examples[at] for at in order] if order else list(examples)
    contrast = isinstance(method, Preference)
    budget = method.token_budget or 2048
    batches = [
        collate([examples[at] for at in group], method.prefix_sharing, method.nll_tokens, contrast)
        for group in micro_batches(examples, budget, method.prefix_sharing, contrast)
    ]
    denominators = counts(batches, method)
    model.zero_grad()
    total = 0.0
    for batch in batches:
        loss = objective(
            token_logps(model, batch, Precision.FP32), batch, method, denominators
        ).loss
        loss.backward()
        total += loss.item()
    return total, _gradients(model)


def _gradients(model: torch.nn.Module) -> dict[str, Tensor]:
    return {
        name: torch.zeros_like(p) if p.grad is None else p.grad.clone()
        for name, p in trainable(model).items()
    }


def by_the_book(
    model: Policy, examples: Sequence[Example], method: Method
) -> tuple[float, dict[str, Tensor]]:
    """The same from the fp64 reference on a copy of the model with eager attention."""
    model = copy.deepcopy(model).double()
    causal_lm(model).set_attn_implementation("eager")
    for module in model.modules():
        vars(module).pop("forward", None)  # its own again: see orpo.kernels
    causal_lm(model).set_experts_implementation("eager")  # the grouped kernel knows no fp64
    model.zero_grad()
    rows = [_row(example, method) for example in examples]
    loss = reference.loss(model, rows, method.model_dump(mode="json"))
    loss.backward()
    return loss.item(), _gradients(model)


def _row(example: Example, method: Method) -> reference.Row:
    no_prefix = [False] * len(example.prefix)
    chosen = example.prefix + example.chosen
    response = example.prefix_mask + example.chosen_mask
    full = [False] + [True] * (len(chosen) - 1)
    return reference.Row(
        chosen=chosen,
        chosen_answer=no_prefix + example.chosen_mask,
        nll=full if method.nll_tokens is NllTokens.FULL else response,
        rejected=example.prefix + (example.rejected or []),
        rejected_answer=no_prefix + example.rejected_mask,
        reference=example.reference or (0.0, 0.0),
    )


def assert_equal(model: Policy, examples: Sequence[Example], method: Method) -> None:
    loss, gradients = ours(model, examples, method)
    expected_loss, expected = by_the_book(model, examples, method)
    assert abs(loss - expected_loss) <= 1e-6 * abs(expected_loss)
    error, where = reference.worst_gradient_error(gradients, expected)
    assert error <= 1e-5, f"gradient of {where} is off by {error:.1e}"


def adapted(model: PreTrainedModel, method: Method) -> Policy:
    """`model` as the run would train it; an adapter starts away from zero, to have gradients."""
    prepare(model)
    if method.tuning == "full":
        return model
    lora = with_lora(model, method, seed=0)
    torch.manual_seed(1)
    for name, weight in trainable(lora).items():
        if "lora_B" in name:
            weight.data.normal_(std=0.1)
    return lora


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


@pytest.mark.parametrize("kind", sorted(METHODS.keys() - {"supervised"}))
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
        tiny_models.mixtral,
        lambda: tiny_models.llama(tie_word_embeddings=True),
        lambda: tiny_models.llama(num_key_value_heads=1, attention_bias=True),
    ],
    ids=["gpt2", "mixtral", "tied", "multi-query"],
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
TINY = adapted(tiny_models.llama(num_hidden_layers=1), FULL)


@settings(max_examples=25, deadline=None, derandomize=True)
@given(
    seed=st.integers(0, 10**6),
    n=st.integers(1, 6),
    longest=st.integers(3, 24),
    budget=st.integers(8, 200),
    sharing=st.booleans(),
    reduction=st.sampled_from(["token", "sequence"]),
)
def test_split_order_and_sharing_change_nothing(
    seed: int, n: int, longest: int, budget: int, sharing: bool, reduction: str
):
    pairs = tiny_models.examples(seed, n, longest)
    whole = FULL.model_copy(update={"token_budget": 10_000, "nll_reduction": reduction})
    split = whole.model_copy(update={"token_budget": budget, "prefix_sharing": sharing})
    order = random.Random(seed).sample(range(n), n)
    loss, gradients = ours(TINY, pairs, whole)
    other_loss, other = ours(TINY, pairs, split, order)
    assert abs(loss - other_loss) <= 1e-5 * abs(loss)
    assert reference.worst_gradient_error(other, gradients)[0] <= 1e-5


def test_a_model_that_cannot_be_packed_trains_row_by_row():
    model = tiny_models.llama()
    expected = ours(prepare(copy.deepcopy(model)), tiny_models.examples(6, 4), FULL)
    found = ours(model, tiny_models.examples(6, 4), FULL)  # never installed: eager attention
    assert abs(expected[0] - found[0]) <= 1e-6 * abs(expected[0])
    assert reference.worst_gradient_error(found[1], expected[1])[0] <= 1e-5


def test_hostile_rows_stay_finite():
    """One-token answers, answers that the model is sure of, a prompt far longer than its answer."""
    base = tiny_models.examples(7, 1)[0]
    one = replace(base, chosen=[5], chosen_mask=[True], rejected=[6], rejected_mask=[True])
    n = 150
    long = replace(one, prefix=[7] * n, prefix_mask=[False] * n)
    model = prepare(tiny_models.llama())
    head(model).weight.data.mul_(200)  # saturates the softmax: the likeliest token has p = 1
    top = int(model(input_ids=torch.tensor([one.prefix])).logits[0, -1].argmax())
    sure, wrong = replace(one, chosen=[top]), replace(one, rejected=[top])
    batch = collate([sure], prefix_sharing=True)
    assert mean_logps(token_logps(model, batch, Precision.FP32), batch)[0] == 0
    for examples in ([one], [long], [sure], [wrong], [one, long, sure, wrong]):
        loss, gradients = ours(model, examples, FULL)
        assert torch.tensor(loss).isfinite()
        assert all(g.isfinite().all() for g in gradients.values())
