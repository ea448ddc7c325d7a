"""Loading, adapters, precision and the optimizer's parameters."""

from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
import torch
from peft.tuners.lora import LoraLayer
from torch import Tensor, nn
from transformers import PreTrainedModel

from orpo.contract.failures import Failure
from orpo.contract.hyperparameters import Precision
from orpo.contract.methods import parse_method
from orpo.contract.spec import RunSpec
from orpo.layers import attention
from orpo.loss.loss import Counts, objective
from orpo.model import policy
from orpo.model.adapter import with_lora
from orpo.model.policy import causal_lm, load, prepare, token_logps, trainable
from orpo.tokens.pack import collate
from tests.orpo import tiny_models


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    tiny_models.llama(attention_dropout=0.3, tie_word_embeddings=True).save_pretrained(tmp_path)
    tiny_models.tokenizer().save_pretrained(tmp_path)
    return tmp_path


def spec(folder: Path, **settings: object) -> RunSpec:
    method = parse_method("orpo", {"lora_rank": 4, **settings})
    return RunSpec(
        job_id="j", base_model="tiny", base_model_path=folder, train_path=folder, method=method
    )


@pytest.mark.parametrize("precision", list(Precision))
@pytest.mark.parametrize("tuning", ["lora", "full"])
def test_trained_weights_are_fp32_whatever_computes(folder: Path, precision: str, tuning: str):
    model, _ = load(spec(folder, precision=precision, tuning=tuning))
    weights = trainable(model)
    assert {weight.dtype for weight in weights.values()} == {torch.float32}
    assert all("lora" in name for name in weights) == (tuning == "lora")
    batch = collate(tiny_models.examples(1, 3), prefix_sharing=True)
    method = parse_method("orpo", {})
    logps = token_logps(model, batch, Precision(precision))
    assert logps.dtype == torch.float32
    objective(logps, batch, method, Counts(10, 3)).loss.backward()
    reached = [w.grad is not None and bool(w.grad.isfinite().all()) for w in weights.values()]
    assert all(reached)


def test_bf16_is_near_fp32(folder: Path):
    batch = collate(tiny_models.examples(1, 3), prefix_sharing=True)
    found = {}
    for precision in Precision:
        model, _ = load(spec(folder, precision=precision))
        found[precision] = token_logps(model, batch, precision)
    torch.testing.assert_close(found["bf16"], found["fp32"], atol=0.3, rtol=0.05)


def test_an_adapter_is_seeded_and_leaves_the_head_alone(folder: Path):
    first, again = (load(spec(folder))[0] for _ in range(2))
    for (name, a), b in zip(trainable(first).items(), trainable(again).values(), strict=True):
        assert torch.equal(a, b), name
    assert not any("lm_head" in name or "embed" in name for name in trainable(first))
    model = prepare(tiny_models.llama())
    torch.manual_seed(5)
    expected = torch.rand(1)
    torch.manual_seed(5)
    with_lora(model, parse_method("orpo", {}), seed=0)
    assert torch.equal(torch.rand(1), expected), "making an adapter moved the global generator"


def test_a_scale_by_the_root_of_the_rank(folder: Path):
    policy = load(spec(folder, use_rslora=True, lora_rank=16, lora_alpha=8))[0]
    scales = {m.scaling["default"] for m in policy.modules() if isinstance(m, LoraLayer)}
    assert scales == {2.0}


HEADS: dict[str, Callable[[Tensor], Tensor]] = {
    "multiplied": lambda logits: 1.01 * logits,
    "capped": lambda logits: 5 * torch.tanh(logits / 5),
    "biased": lambda logits: logits + torch.arange(logits.shape[-1]) / 100,
    "padded": lambda logits: logits[..., :-7],
}


@pytest.mark.parametrize("dtype", [torch.float32, torch.bfloat16])
@pytest.mark.parametrize("kind", HEADS)
def test_a_head_that_the_engine_does_not_know_is_refused(kind: str, dtype: torch.dtype):
    """For each change that a model makes to its logits: without it the loss would be wrong."""
    model = tiny_models.llama()
    nn.Module.to(model, dtype)
    own = model.forward

    def forward(**inputs: Any) -> Any:
        output = own(**inputs)
        output.logits = HEADS[kind](output.logits)
        return output

    model.forward = forward
    with pytest.raises(Failure, match="LlamaForCausalLM") as refused:
        prepare(model)
    assert refused.value.param == "base_model"


def test_a_scale_that_another_architecture_divides_by_is_refused():
    with pytest.raises(Failure, match="HyperCLOVAX"):
        prepare(tiny_models.hyperclovax())
    prepare(tiny_models.hyperclovax(logits_scaling=1.0))


@pytest.mark.parametrize("make", [tiny_models.mamba, tiny_models.gemma2, tiny_models.opt])
def test_a_known_head_is_known_in_bf16_too(make: Callable[[], PreTrainedModel]):
    model = make().bfloat16()
    policy.check_head(model)
    assert not torch.is_autocast_enabled("cpu")
    assert {weight.dtype for weight in model.parameters()} == {torch.bfloat16}


def test_dropout_stays_off_even_in_training_mode():
    model = prepare(tiny_models.gpt2())
    assert any(isinstance(module, nn.Dropout) for module in model.modules())
    batch = collate(tiny_models.examples(1, 2), prefix_sharing=True)
    model.train()
    first, second = (token_logps(model, batch, Precision.FP32) for _ in range(2))
    assert torch.equal(first, second)


def test_only_labelled_positions_reach_the_head(folder: Path, monkeypatch: pytest.MonkeyPatch):
    model, _ = load(spec(folder, precision="fp32"))
    batch = collate(tiny_models.examples(1, 6), prefix_sharing=True)
    monkeypatch.setattr(policy, "TILE_BYTES", 4 * tiny_models.VOCAB * 5)
    rows: list[int] = []
    policy.head(causal_lm(model)).register_forward_hook(
        lambda _module, _args, output: rows.append(output.shape[0])
    )
    with torch.no_grad():
        token_logps(model, batch, Precision.FP32)
    assert max(rows) == 5
    assert sum(rows) == len(batch.target_L) < len(batch.input_ids_T)


def test_remote_code_and_pickles_are_refused(tmp_path: Path):
    tiny_models.llama().save_pretrained(tmp_path)
    (tmp_path / "model.safetensors").unlink()
    torch.save({}, tmp_path / "pytorch_model.bin")
    with pytest.raises(Failure, match="safetensors"):
        policy.load_base(tmp_path, Precision.FP32)


def test_loading_installs_the_packed_attention(folder: Path):
    assert attention.packs(causal_lm(load(spec(folder))[0]))


@pytest.mark.parametrize("tuning", ["lora", "full"])
def test_generation_under_autocast(folder: Path, tuning: str):
    """Samples are generated by the model in training, with its precision."""
    model, _ = load(spec(folder, precision="bf16", tuning=tuning))
    lm: Any = causal_lm(model)
    with policy.autocast(lm, Precision.BF16):
        ids = lm.generate(torch.tensor([[5, 6, 7]]), max_new_tokens=4, pad_token_id=0)
    assert ids.shape[1] > 3


def test_a_base_is_never_widened_as_a_whole(folder: Path, monkeypatch: pytest.MonkeyPatch):
    """A base in bf16 stays in bf16; the check of its attention widens one module at a time."""
    wide: list[int] = []
    hidden = attention._hidden

    def watched(model: Any, *args: Any) -> Any:
        def count(*_: object) -> None:
            wide.append(sum(p.numel() for p in model.parameters() if p.dtype == torch.float32))

        hooks = [module.register_forward_pre_hook(count) for module in model.modules()]
        try:
            return hidden(model, *args)
        finally:
            for hook in hooks:
                hook.remove()

    monkeypatch.setattr(attention, "_hidden", watched)
    lm = causal_lm(load(spec(folder, precision="bf16", tuning="lora"))[0])
    frozen = [p for p in lm.parameters() if not p.requires_grad]
    assert {p.dtype for p in frozen} == {torch.bfloat16}
    assert 0 < max(wide) <= max(p.numel() for p in frozen)


def test_tiles_of_kept_logits(monkeypatch: pytest.MonkeyPatch):
    """The size of tiles differs on a GPU; the results must not depend on it."""
    model = prepare(tiny_models.llama())
    batch = collate(tiny_models.examples(1, 6), prefix_sharing=True)
    weights = list(trainable(model).values())
    found = []
    for tile in (policy.TILE_BYTES, 4 * tiny_models.VOCAB * 5):
        monkeypatch.setattr(policy, "TILE_BYTES", tile)
        logps = token_logps(model, batch, Precision.FP32)
        found.append([logps, *torch.autograd.grad(logps.sum(), weights)])
    torch.testing.assert_close(found[0], found[1], atol=1e-5, rtol=1e-5)
