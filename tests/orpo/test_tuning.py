"""DoRA, fully trained modules, a base in 4 bits: exact if promised, and served correctly."""

import json
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any, cast

import pytest
import torch
from peft import PeftModel
from peft.tuners.lora import LoraLayer
from safetensors.torch import load_file
from torch import Tensor, nn
from torch.autograd.graph import saved_tensors_hooks
from transformers import AutoModelForCausalLM, PreTrainedModel

from orpo.contract.failures import Failure
from orpo.contract.hyperparameters import Precision
from orpo.contract.methods import parse_method
from orpo.contract.spec import read_spec
from orpo.layers.nf4 import Nf4Linear
from orpo.model import merge
from orpo.model.adapter import with_lora
from orpo.model.policy import (
    Policy,
    causal_lm,
    head,
    load,
    load_base,
    prepare,
    token_logps,
    trainable,
)
from orpo.run import train
from orpo.run.speed import Weights
from orpo.tokens.pack import collate
from tests import probes
from tests.orpo import reference, tiny_models
from tests.orpo.test_gates import adapted, assert_equal
from tests.orpo.tiny_run import Bench, bitsandbytes, checkpoint, records, state

EXAMPLES = tiny_models.examples(seed=5, n=3)


def logps(policy: Policy, precision: str = "fp32") -> Tensor:
    return token_logps(policy, collate(EXAMPLES, prefix_sharing=True), Precision(precision))


def spread(policy: nn.Module) -> nn.Module:
    """Move trained weights away from their initial values."""
    torch.manual_seed(1)
    with torch.no_grad():
        for weight in trainable(policy).values():
            weight.add_(torch.randn_like(weight), alpha=0.1)
    return policy


# --- DoRA ---------------------------------------------------------------------------------------


@pytest.mark.parametrize("precision", ["fp32", "bf16"])
def test_a_fresh_dora_adds_nothing(bench: Bench, precision: str) -> None:
    base = load_base(bench.base, Precision(precision))
    policy, _ = load(read_spec(bench.spec("dora", use_dora=True, precision=precision)))
    assert {w.dtype for w in trainable(policy).values()} == {torch.float32}
    assert any("lora_magnitude_vector" in name for name in trainable(policy))
    for graph in (torch.no_grad(), torch.enable_grad()):
        with graph:
            assert torch.equal(logps(policy, precision), logps(base, precision))


def test_dora_computes_by_pefts_own_forward() -> None:
    policy = adapted(tiny_models.llama(), parse_method("orpo", {"use_dora": True}))
    layers = [module for module in policy.modules() if isinstance(module, LoraLayer)]
    assert layers
    assert not any("forward" in vars(layer) for layer in layers)


@pytest.mark.parametrize("family", ["llama", "gpt2"])
def test_dora_against_the_reference(family: str) -> None:
    method = parse_method("orpo", {"use_dora": True, "lora_rank": 4, "token_budget": 60})
    assert_equal(adapted(getattr(tiny_models, family)(), method), EXAMPLES, method)


# --- fully trained modules ----------------------------------------------------------------------


@pytest.mark.parametrize("tied", [True, False])
@pytest.mark.parametrize("named", [["lm_head"], ["embed_tokens"], ["embed_tokens", "lm_head"]])
def test_whole_modules_against_the_reference(named: list[str], tied: bool) -> None:
    method = parse_method("orpo", {"modules_to_save": named, "lora_rank": 4, "token_budget": 60})
    policy = adapted(tiny_models.llama(tie_word_embeddings=tied), method)
    whole = [weight for name, weight in trainable(policy).items() if "lora" not in name]
    assert len(whole) == (1 if tied else len(named))
    before = logps(policy)
    for weight in whole:  # change them: the base's weights must no longer be used
        weight.data.mul_(0.9)
    assert not torch.allclose(logps(policy), before, rtol=1e-2)
    assert_equal(policy, EXAMPLES, method)


def test_norms_and_layers_may_be_named_by_whole_parts_of_their_names() -> None:
    method = parse_method("orpo", {"modules_to_save": ["model.norm", "down_proj"]})
    policy = with_lora(prepare(tiny_models.llama()), method, seed=0)
    whole = {name for name in trainable(policy) if "lora" not in name}
    assert whole == {
        f"base_model.model.model.{name}.modules_to_save.default.weight"
        for name in ("norm", "layers.0.mlp.down_proj", "layers.1.mlp.down_proj")
    }
    assert_equal(policy, EXAMPLES, method)


@pytest.mark.parametrize("name", ["lm_heads", "head", "mlp"])
def test_a_name_that_no_module_has_is_told_before_training(bench: Bench, name: str) -> None:
    run = bench.spec("run", modules_to_save=["embed_tokens", name])
    assert train.main(run) == 2
    event = records(run, "events")[-1]
    assert (event["data"]["code"], event["data"]["param"]) == ("bad_spec", "method.modules_to_save")
    assert f"modules_to_save names {name}," in event["message"]
    assert "lm_head" in event["data"]["hint"]
    assert not records(run, "metrics")


def test_a_whole_module_begins_as_it_is_stored(bench: Bench) -> None:
    """bf16 rounds the weights that compute, not the trained masters."""
    settings: dict[str, Any] = {"modules_to_save": ["embed_tokens"], "precision": "bf16"}
    run = bench.run("run", learning_rate=1e-12, max_steps=2, **settings)
    (found,) = (t for name, t in state(checkpoint(run, 2)).items() if is_whole(name))
    stored = load_file(bench.base / "model.safetensors")["model.embed_tokens.weight"]
    assert not torch.equal(stored, stored.bfloat16().float())
    assert torch.allclose(found, stored, rtol=0, atol=1e-9)


def is_whole(name: str) -> bool:
    return name.startswith("weight/") and "modules_to_save" in name


def test_whole_modules_leave_the_rest_of_the_model_narrow(bench: Bench) -> None:
    settings: dict[str, Any] = {"modules_to_save": ["lm_head"], "precision": "bf16"}
    policy, _ = load(read_spec(bench.spec("run", **settings)))
    widths: set[torch.dtype] = set()
    lm: Any = causal_lm(policy)
    lm.model.layers[1].register_forward_pre_hook(lambda _, inputs: widths.add(inputs[0].dtype))
    logps(policy, "bf16").sum().backward()
    assert widths == {torch.bfloat16}
    frozen = {weight.dtype for weight in policy.parameters() if not weight.requires_grad}
    assert frozen == {torch.bfloat16}
    assert head(lm).weight.dtype == torch.float32
    assert head(lm).weight is lm.get_input_embeddings().weight  # still tied
    plain, _ = load(read_spec(bench.spec("plain", precision="bf16")))
    assert Weights.of(policy).total == Weights.of(plain).total


# --- a base in 4 bits ---------------------------------------------------------------------------


def quantized(**settings: Any) -> Policy:
    """A policy with its base in 4 bits and an adapter that is not zero."""
    method = parse_method("orpo", {"tuning": "qlora", "lora_rank": 4, **settings})
    return cast(Policy, spread(with_lora(prepare(tiny_models.llama()), method, seed=0)))


def layers_of(policy: nn.Module) -> Iterator[tuple[Any, Nf4Linear]]:
    for module in policy.modules():
        if isinstance(module, LoraLayer):
            assert isinstance(module.base_layer, Nf4Linear)
            yield module, module.base_layer


def wide_twin(policy: Policy) -> None:
    """Replace each 4-bit layer by a plain one with the dequantised weight."""
    for module, narrow in list(layers_of(policy)):
        plain = nn.Linear(narrow.in_features, narrow.out_features, bias=False)
        plain.weight = nn.Parameter(narrow.weight.clone(), requires_grad=False)
        module.base_layer = plain


@bitsandbytes
@pytest.mark.parametrize("dora", [False, True])
def test_4_bits_compute_as_the_weight_they_stand_for(dora: bool) -> None:
    policy = quantized(use_dora=dora)
    found = []
    for change in (lambda _: None, wide_twin):
        change(policy)
        with torch.no_grad():  # bitsandbytes' own layer passes no gradient after this
            logps(policy)
        values = logps(policy)
        gradients = torch.autograd.grad(values.sum(), list(trainable(policy).values()))
        found.append((values.detach(), dict(zip(trainable(policy), gradients, strict=True))))
    (ours, our_gradients), (plain, gradients) = found
    torch.testing.assert_close(ours, plain)
    assert reference.worst_gradient_error(our_gradients, gradients)[0] <= 1e-5


@bitsandbytes
@pytest.mark.parametrize("shape", [(48, 32), (32, 48), (33, 50), (64, 128)])
def test_4_bits_are_near_the_weight_whatever_its_shape(shape: tuple[int, int]) -> None:
    torch.manual_seed(0)
    linear = nn.Linear(*shape)
    narrow = Nf4Linear(linear)
    assert narrow.weight.shape == linear.weight.shape
    error = (narrow.weight - linear.weight).norm() / linear.weight.norm()
    assert error < 0.12
    codes = cast(Tensor, narrow.codes)
    assert codes.nbytes == -(-linear.weight.numel() // 2)
    x = torch.randn(3, shape[0])
    expected = nn.functional.linear(x, narrow.weight, linear.bias)
    assert torch.equal(narrow(x), expected)
    before = narrow.weight.clone()
    narrow.to(torch.bfloat16)  # casting a model does not cast the scales
    assert torch.equal(narrow.weight, before)


@bitsandbytes
def test_no_wide_weight_is_kept_for_the_backward_pass() -> None:
    policy = quantized()
    shapes = {narrow.weight.shape for _, narrow in layers_of(policy)}
    kept: list[torch.Size] = []

    def note(tensor: Tensor) -> Tensor:
        kept.append(tensor.shape)
        return tensor

    with saved_tensors_hooks(note, lambda tensor: tensor):
        logps(policy)
    assert kept
    assert not [shape for shape in kept if shape in shapes or shape[::-1] in shapes]


@bitsandbytes
def test_a_base_in_4_bits_counts_whole(bench: Bench) -> None:
    plain, narrow = (
        Weights.of(load(read_spec(bench.spec(tuning, tuning=tuning)))[0])
        for tuning in ("lora", "qlora")
    )
    assert plain == narrow


@bitsandbytes
def test_a_model_without_linear_layers_is_refused() -> None:
    method = parse_method("orpo", {"tuning": "qlora"})
    with pytest.raises(Failure, match="tuning = 'qlora'") as refused:
        with_lora(prepare(tiny_models.gpt2()), method, seed=0)
    assert refused.value.param == "method.tuning"


# --- saving, merging and serving ----------------------------------------------------------------

KINDS: list[Any] = [
    {"use_dora": True},
    {"modules_to_save": ["lm_head"]},
    {"modules_to_save": ["norm", "embed_tokens"], "use_dora": True, "use_rslora": True},
    pytest.param({"tuning": "qlora"}, marks=bitsandbytes),
    pytest.param(
        {"tuning": "qlora", "use_dora": True, "modules_to_save": ["lm_head"]}, marks=bitsandbytes
    ),
]


@pytest.mark.parametrize("precision", ["fp32", "bf16"])
@pytest.mark.parametrize("settings", KINDS)
def test_the_probe_is_of_what_is_served(bench: Bench, settings: Any, precision: str) -> None:
    """PEFT agrees on the base as it is served: in its own precision, never in 4 bits."""
    stored = copy_of(bench.base, bench.folder / "stored", lambda model: model.bfloat16())
    run = bench.run("run", max_steps=4, base=stored, precision=precision, **settings)
    saved = checkpoint(run, 4)
    base = AutoModelForCausalLM.from_pretrained(stored, dtype=torch.float32)
    own = [probes.logprobs(base, prompt) for prompt in probes.read(saved)]
    policy = PeftModel.from_pretrained(base, str(saved / "adapter"))
    for prompt, of_base in zip(probes.read(saved), own, strict=True):
        assert probes.logprobs(policy, prompt) == pytest.approx(prompt["logprobs"], abs=1e-4)
        assert of_base == pytest.approx(prompt["base_logprobs"], abs=1e-4)
        assert moved(prompt) > 0.05


def moved(prompt: dict[str, Any]) -> float:
    pairs = zip(prompt["logprobs"], prompt["base_logprobs"], strict=True)
    return max(abs(a - b) for a, b in pairs)


@pytest.mark.parametrize("tied", [True, False])
@pytest.mark.parametrize("settings", KINDS)
def test_merged_weights_answer_as_the_policy_did(
    bench: Bench, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, settings: Any, tied: bool
) -> None:
    base = bench.base if tied else copy_of(bench.base, tmp_path / "untied", untie)
    saved = checkpoint(bench.run("run", max_steps=4, base=base, **settings), 4)
    merge.merge(saved, tmp_path / "merged")
    rounded = AutoModelForCausalLM.from_pretrained(tmp_path / "merged")
    assert rounded.dtype == torch.bfloat16
    assert rounded.config.tie_word_embeddings is tied
    assert (rounded.lm_head.weight is rounded.model.embed_tokens.weight) is tied
    assert not [name for name in rounded.state_dict() if "lora" in name or "save" in name]
    for prompt in probes.read(saved):
        found = probes.logprobs(rounded.float(), prompt)
        assert found == pytest.approx(prompt["logprobs"], abs=0.05)
    # The whole difference comes from bf16.
    monkeypatch.setattr(merge, "to_bf16", lambda weight, _: weight)
    monkeypatch.setattr(PreTrainedModel, "to", lambda model, *_: model)
    merge.merge(saved, tmp_path / "exact")
    monkeypatch.undo()
    exact = AutoModelForCausalLM.from_pretrained(tmp_path / "exact", dtype=torch.float32)
    for prompt in probes.read(saved):
        found = probes.logprobs(exact, prompt)
        assert found == pytest.approx(prompt["logprobs"], abs=1e-4)


def copy_of(base: Path, folder: Path, change: Callable[[Any], Any]) -> Path:
    """Copy a model and its tokenizer, with a change to the model."""
    model = AutoModelForCausalLM.from_pretrained(base)
    change(model)
    model.save_pretrained(folder)
    for file in base.iterdir():
        if not (folder / file.name).exists():
            (folder / file.name).write_bytes(file.read_bytes())
    return folder


def untie(model: Any) -> None:
    """Give the model a head of its own."""
    model.config.tie_word_embeddings = False
    model.lm_head.weight = nn.Parameter(model.lm_head.weight.detach().clone() * 1.1)


def test_what_was_trained_whole_is_in_the_merged_model(bench: Bench, tmp_path: Path) -> None:
    saved = checkpoint(bench.run("run", modules_to_save=["lm_head"]), 6)
    merge.merge(saved, tmp_path / "merged")
    (trained,) = (t for name, t in state(saved).items() if is_whole(name))
    merged = load_file(tmp_path / "merged" / "model.safetensors")
    assert "lm_head.weight" not in merged  # tied: written once
    found = merged["model.embed_tokens.weight"].float()
    assert torch.allclose(found, trained, rtol=2**-7)
    stored = load_file(bench.base / "model.safetensors")["model.embed_tokens.weight"]
    assert not torch.allclose(found, stored, rtol=2**-7)
    settings = json.loads((saved / "adapter" / "adapter_config.json").read_text())
    assert settings["ensure_weight_tying"] is True
