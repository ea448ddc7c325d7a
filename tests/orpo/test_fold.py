"""A LoRA adapter that was made elsewhere, folded into its base."""

import json
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
import torch
from peft import LoraConfig, get_peft_model
from safetensors.torch import load_file, save_file
from transformers import AutoModelForCausalLM, AutoTokenizer

from orpo.contract.failures import Code, Failure
from orpo.contract.manifest import sha256
from orpo.model.merge import fold
from tests.orpo.tiny_run import write_base

WEIGHTS = "adapter_model.safetensors"


@pytest.fixture
def make(tiny_base: Path, tmp_path: Path) -> Callable[..., Path]:
    """Save an adapter as PEFT does, with random weights in both of its factors."""

    def adapter(**settings: Any) -> Path:
        base = AutoModelForCausalLM.from_pretrained(tiny_base, dtype=torch.float32)
        defaults = {"r": 2, "target_modules": ["q_proj", "down_proj"]}
        model = get_peft_model(base, LoraConfig(**defaults | settings))
        torch.manual_seed(1)
        for name, parameter in model.named_parameters():
            if "lora_" in name:
                parameter.data.normal_(std=0.3)
        model.save_pretrained(str(tmp_path / "adapter"))
        # What the maker's machine called the base means nothing here.
        path = tmp_path / "adapter" / "adapter_config.json"
        path.write_text(
            json.dumps(json.loads(path.read_text()) | {"base_model_name_or_path": "someone/base"})
        )
        torch.save(expected(model), tmp_path / "expected.pt")
        return tmp_path / "adapter"

    return adapter


def expected(model: Any) -> torch.Tensor:
    with torch.no_grad():
        return model(torch.arange(20)[None] + 40).logits


def folded(adapter: Path, base: Path, out: Path) -> Path:
    fold(adapter, base, out, sha256(adapter / WEIGHTS))
    return out


@pytest.mark.parametrize(
    "settings",
    [
        {},
        {"use_rslora": True, "lora_alpha": 3},
        {"use_dora": True},
        {"rank_pattern": {"q_proj": 4}},
    ],
)
def test_the_sum_answers_as_peft_does(
    make: Callable[..., Path], tiny_base: Path, tmp_path: Path, settings: dict[str, Any]
) -> None:
    adapter = make(**settings)
    out = folded(adapter, tiny_base, tmp_path / "out")
    assert not list(tmp_path.glob("*.tmp"))
    model = AutoModelForCausalLM.from_pretrained(out, dtype=torch.float32)
    wanted = torch.load(tmp_path / "expected.pt")
    plain = expected(AutoModelForCausalLM.from_pretrained(tiny_base, dtype=torch.float32))
    off = (expected(model) - wanted).abs().max()
    assert off < 0.05 * (plain - wanted).abs().max()  # the weights are bf16
    assert AutoTokenizer.from_pretrained(out).chat_template


def test_an_adapter_that_has_changed_is_refused(
    make: Callable[..., Path], tiny_base: Path, tmp_path: Path
) -> None:
    with pytest.raises(Failure, match="has changed since it was registered") as refused:
        fold(make(), tiny_base, tmp_path / "out", "0" * 64)
    assert (refused.value.code, refused.value.param) == (Code.BAD_MODEL, "adapter")
    assert not (tmp_path / "out").exists()


def test_an_adapter_of_another_base_is_refused(make: Callable[..., Path], tmp_path: Path) -> None:
    adapter = make()
    wider = write_base(tmp_path / "wider", hidden_size=64)
    with pytest.raises(Failure, match="does not fit its base"):
        folded(adapter, wider, tmp_path / "out")
    shallow = write_base(tmp_path / "shallow", num_hidden_layers=1)
    with pytest.raises(Failure, match=r"does not fit its base: 4 names, such as .*layers\.1"):
        folded(adapter, shallow, tmp_path / "out")


def test_an_adapter_that_lacks_weights_is_refused(
    make: Callable[..., Path], tiny_base: Path, tmp_path: Path
) -> None:
    adapter = make()
    weights = load_file(adapter / WEIGHTS)
    weights.pop(next(iter(weights)))
    save_file(weights, adapter / WEIGHTS)
    with pytest.raises(Failure, match="does not fit its base: 1 names"):
        folded(adapter, tiny_base, tmp_path / "out")


def test_another_kind_of_adapter_is_refused(
    make: Callable[..., Path], tiny_base: Path, tmp_path: Path
) -> None:
    adapter = make()
    path = adapter / "adapter_config.json"
    path.write_text(json.dumps(json.loads(path.read_text()) | {"peft_type": "IA3"}))
    with pytest.raises(Failure, match="It is IA3, not LORA"):
        folded(adapter, tiny_base, tmp_path / "out")
