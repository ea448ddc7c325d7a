"""The training benchmark's table and floors, and the models that it makes."""

from pathlib import Path
from typing import Any

import pytest
import torch
from transformers import AutoModelForCausalLM, LlamaConfig

from bench.train.report import missed, summary, table
from bench.train.shapes import SHAPES, Shape, make
from tests.orpo.tiny_run import write_base


def engine(seconds: float, peak_bytes: int, **more: Any) -> dict[str, Any]:
    return {"seconds": [seconds / 2] * 2, "peak_bytes": peak_bytes, "loss": [1.0], **more}


def found(ours_s: float, ours_bytes: int, peak_flops: float | None) -> dict[str, Any]:
    """16 pairs of a model of 1,000 weights, against a peer of 10 s and 100 bytes."""
    ours = engine(ours_s, ours_bytes, parameters=1000, trained=1000, tokens=600)
    rounds = [{"ours": ours, "trl-tuned": engine(10, 100), "gemm_flops": 1e6}]
    return summary(rounds, ["ours", "trl-tuned"], 16, peak_flops)


def test_a_row_without_a_gpu_is_not_measured_and_misses_nothing():
    rows = {"full": found(2, 50, None), "llama-1b full": {}}
    said = table(rows)
    assert "| llama-1b full | not measured: no GPU here |" in said
    line = "| full | trl-tuned | 10.0 (10.0 to 10.0) | 1.60 | 0.0 | 5.00 (5.00 to 5.00) | 50% | "
    assert line + "0.000 |" in said
    assert "300 useful tokens/s | 180% of 0 GFLOP/s" in said
    assert missed(rows) == []


def test_the_share_of_a_gpus_peak():
    """6 FLOP per weight and token: 3.6 million FLOP in 2 s, on a device of 3 million FLOP/s."""
    row = found(2, 60, 3e6)
    assert row["ours"]["mfu"] == pytest.approx(0.6)
    assert "MFU 60% of 0 TFLOP/s" in table({"llama-1b full": row})
    assert missed({"llama-1b full": row}) == []


@pytest.mark.parametrize(
    ("ours_s", "ours_bytes", "peak_flops", "said"),
    [
        (6, 60, 1e6, "1.67x is below 2.0x"),
        (2, 61, 3e6, "61% of its memory, above 60%"),
        (2, 60, 9e6, "an MFU of 20% is below 40%"),
    ],
)
def test_the_report_names_each_floor(ours_s: float, ours_bytes: int, peak_flops: float, said: str):
    wrong = missed({"llama-8b lora": found(ours_s, ours_bytes, peak_flops)})
    assert len(wrong) == 1
    assert said in wrong[0]


def test_pairs_without_floors_miss_none_but_must_train_the_same():
    row = found(9, 99, None)
    assert len(missed({"full": row})) == 2
    assert missed({"full": row}, {}) == []
    row["trl-tuned"]["first_loss_differs_by"] = 0.04
    assert len(missed({"full": row}, {})) == 1


def test_engines_that_train_something_else_are_not_compared():
    row = found(2, 50, None)
    rounds = [{"ours": engine(2, 50, parameters=1, trained=1, tokens=1), "gemm_flops": 1e6}]
    rounds[0]["trl-tuned"] = engine(10, 100) | {"loss": [1.06]}
    row |= summary(rounds, ["ours", "trl-tuned"], 16, None)
    assert "| 0.060 |" in table({"full": row})
    assert "do not train the same" in missed({"full": row})[0]


@pytest.mark.parametrize(("name", "billions"), [("llama-1b", 1.236), ("llama-8b", 8.030)])
def test_shapes_have_the_size_that_they_are_named_for(name: str, billions: float):
    with torch.device("meta"):
        model = AutoModelForCausalLM.from_config(LlamaConfig(**SHAPES[name].config))
    assert sum(p.numel() for p in model.parameters()) / 1e9 == pytest.approx(billions, abs=1e-3)


@pytest.mark.parametrize("name", SHAPES)
def test_a_small_shape_is_of_the_same_kind(name: str):
    shape, small = SHAPES[name], SHAPES[name].small()
    assert small.config.keys() == shape.config.keys()
    assert (small.tuning, small.config["tie_word_embeddings"]) == (
        shape.tuning,
        shape.config["tie_word_embeddings"],
    )
    with torch.device("meta"):
        model = AutoModelForCausalLM.from_config(LlamaConfig(**small.config))
    assert sum(p.numel() for p in model.parameters()) < 30e6


def test_a_model_is_made_once(tmp_path: Path):
    tokenizer_of, folder = write_base(tmp_path / "base"), tmp_path / "made"
    sizes = {
        "vocab_size": 300, "hidden_size": 32, "intermediate_size": 48, "num_hidden_layers": 1,
        "num_attention_heads": 4, "num_key_value_heads": 2,
    }  # fmt: skip
    shape = Shape("full", sizes, pairs_a_step=4, steps=2, token_budget=64, peer_pairs=2)
    make(shape, tokenizer_of, folder)
    model = AutoModelForCausalLM.from_pretrained(folder, dtype="auto")
    assert (model.dtype, model.config.vocab_size) == (torch.bfloat16, 300)
    before = (folder / "model.safetensors").stat().st_mtime_ns
    make(shape, tokenizer_of, folder)
    assert (folder / "model.safetensors").stat().st_mtime_ns == before
