"""Packed attention against each architecture's own; a refusal if packing is not possible."""

import copy
from collections.abc import Callable
from typing import Any

import pytest
import torch
from transformers import PreTrainedModel

from orpo.contract.hyperparameters import Precision
from orpo.layers import attention
from orpo.model.policy import prepare, token_logps
from orpo.tokens.pack import collate
from tests.orpo import reference, tiny_models

PACKED = [
    tiny_models.llama, tiny_models.gpt2, tiny_models.mixtral, tiny_models.mistral,
    tiny_models.gemma2, tiny_models.qwen3, tiny_models.opt,
]  # fmt: skip
UNPACKED = [tiny_models.bloom, tiny_models.mamba]


@pytest.mark.parametrize("sharing", [True, False])
@pytest.mark.parametrize("make", PACKED + UNPACKED)
def test_log_probs_equal_the_models_own(make: Callable[[], PreTrainedModel], sharing: bool):
    """Packed or row by row, the log-probs equal those of the unchanged model."""
    model = make()
    own = copy.deepcopy(model)
    prepare(model)
    assert attention.packs(model) == (make in PACKED)
    examples = tiny_models.examples(seed=8, n=3, longest=16)
    batch = collate(examples, sharing)
    with torch.no_grad():
        found = token_logps(model, batch, Precision.FP32)
        for sequence in range(6):
            example = examples[sequence // 2]
            tail = (example.rejected or []) if sequence % 2 else example.chosen
            expected = reference.logps(own, example.prefix + tail)[len(example.prefix) :]
            mine = found[(batch.sequence_L == sequence) & batch.in_answer_L]
            torch.testing.assert_close(mine.double(), expected, atol=2e-5, rtol=0)


@pytest.mark.parametrize("make", UNPACKED)
def test_architectures_that_never_call_say_so(make: Callable[[], PreTrainedModel]):
    model = make()
    before = model.config._attn_implementation
    attention.install(model)
    assert attention.why_not(model)
    assert model.config._attn_implementation == before


def test_layers_that_see_across_sequences_are_refused():
    model = tiny_models.llama()
    model.config.layer_types = ["full_attention", "linear_attention"]
    attention.install(model)
    assert "linear_attention" in (attention.why_not(model) or "")


@pytest.mark.parametrize("make", PACKED)
def test_noise_of_bf16_is_no_reason(make: Callable[[], PreTrainedModel]):
    """Large weights make rounding errors as large as a real error."""
    torch.manual_seed(0)
    model = make().eval()
    for weight in model.parameters():
        weight.data.add_(torch.randn_like(weight))
    model = prepare(model.bfloat16())
    assert attention.packs(model)
    assert attention.why_not(model) is None


def test_unknown_inputs_are_refused_not_dropped():
    qkv = torch.zeros(1, 2, 3, 4)
    with attention.layout([]), pytest.raises(NotImplementedError, match="s_aux"):
        attention.attend(torch.nn.Module(), qkv, qkv, qkv, None, s_aux=torch.zeros(2))


@pytest.mark.parametrize("make", [tiny_models.llama, tiny_models.gemma2])
def test_outside_a_layout_the_model_generates_as_ever(make: Callable[[], PreTrainedModel]):
    model: Any = make().eval()
    ids = torch.tensor([[5, 6, 7]])
    expected = model.generate(ids, max_new_tokens=8, do_sample=False, pad_token_id=0)
    prepare(model)
    found = model.generate(ids, max_new_tokens=8, do_sample=False, pad_token_id=0)
    assert attention.packs(model)
    assert torch.equal(expected, found)


def test_tails_do_not_see_each_other():
    model = prepare(tiny_models.llama())
    one, other = tiny_models.examples(seed=9, n=2)
    batch = collate([one], prefix_sharing=True)
    alone = token_logps(model, batch, Precision.FP32)
    packed = token_logps(model, collate([other, one], prefix_sharing=True), Precision.FP32)
    torch.testing.assert_close(packed[-len(alone) :], alone, atol=1e-5, rtol=0)
