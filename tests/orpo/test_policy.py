"""Loading, adapters, precision and what the optimizer sees."""

from pathlib import Path

import pytest
import torch
from torch import nn

from orpo import attention, policy
from orpo.loss import Counts, objective
from orpo.pack import collate
from orpo.policy import causal_lm, load, prepare, token_logps, trainable, with_lora
from orpo.spec import Precision, RunSpec, parse_method
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
    with pytest.raises(OSError, match="safetensors"):
        policy.load_base(tmp_path, Precision.FP32)


def test_loading_installs_the_packed_attention(folder: Path):
    assert attention.packs(causal_lm(load(spec(folder))[0]))
