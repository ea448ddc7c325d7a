"""Reported speed: FLOP by formula, shares of time, peaks of devices."""

from typing import Any

import pytest
import torch

from orpo.contract.methods import parse_method
from orpo.contract.numbers import Phase, share
from orpo.model.adapter import with_lora
from orpo.model.policy import prepare
from orpo.run import speed
from orpo.run.speed import PHASES_ON_POLICY, Weights
from tests.orpo import tiny_models
from tests.orpo.tiny_run import Bench, records

PEAK = 1e12


def trained(bench: Bench, **settings: Any) -> tuple[dict[str, Any], list[dict[str, float]]]:
    """The data of a run's first event, and the metrics of its steps."""
    run = bench.run("run", max_steps=4, **settings)
    steps = [r["values"] for r in records(run, "metrics") if r["split"] == "train"]
    return records(run, "events")[0]["data"], steps


@pytest.mark.parametrize("tuning", ["full", "lora"])
def test_flops_are_six_a_weight_and_token_or_about_four(
    bench: Bench, monkeypatch: pytest.MonkeyPatch, tuning: str
) -> None:
    monkeypatch.setattr(speed, "peak_flops", lambda: PEAK)
    start, steps = trained(bench, tuning=tuning)
    total, of_adapter = start["parameters"], start["trainable_parameters"]
    a_token = 6 * total if tuning == "full" else 4 * total + 2 * of_adapter
    before = 0
    for values in steps:
        tokens = values["trained_tokens"] - before
        before = values["trained_tokens"]
        assert values["mfu"] * PEAK * values["step_s"] == pytest.approx(a_token * tokens)
        assert values["tokens_per_s"] * values["step_s"] == pytest.approx(tokens)


def test_the_peak_is_that_of_all_devices(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(speed, "peak_flops", lambda: PEAK)
    weights = Weights(total=300, trained=100, met=200, met_trained=50)
    found = speed.series(10, 2, step_s=0.5, weights=weights, world=4)
    assert found["mfu"] == pytest.approx((4 * 200 + 2 * 50) * 10 / 0.5 / (4 * PEAK))
    assert (found["tokens_per_s"], found["pairs_per_s"]) == (20, 4)


def test_no_peak_no_share_of_it(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(speed, "peak_flops", lambda: None)
    assert "mfu" not in speed.series(10, 2, 0.5, Weights(3, 3, 3, 3), 1)


def test_shares_of_time_are_parts_of_one_whole(bench: Bench) -> None:
    _, steps = trained(bench, eval_every=1, checkpoint_every=1)
    for values in steps:
        shares = [values[share(phase)] for phase in Phase if phase not in PHASES_ON_POLICY]
        assert min(shares) >= 0
        assert 0 < sum(shares) <= 1
    assert steps[-1]["share/evaluation"] > 0
    assert steps[-1]["share/checkpoint"] > 0


def test_a_token_meets_some_experts_of_a_mixture_and_all_else() -> None:
    """Two of four experts: half of the experts' weights, and the whole router."""
    model = tiny_models.mixtral()
    experts = sum(p.numel() for name, p in model.named_parameters() if "experts" in name)
    weights = Weights.of(model)
    assert weights.total == weights.trained == sum(p.numel() for p in model.parameters())
    assert weights.met == weights.met_trained == weights.total - experts // 2
    assert experts > weights.total / 2


def test_an_adapter_leaves_what_a_token_meets_of_its_base() -> None:
    plain = Weights.of(tiny_models.mixtral())
    weights = Weights.of(with_lora(prepare(tiny_models.mixtral()), parse_method("orpo", {}), 0))
    assert weights.trained > weights.met_trained > 0  # the adapter has a part per expert
    assert weights.total - weights.trained == plain.total
    assert weights.met - weights.met_trained == plain.met


@pytest.mark.parametrize("make", [tiny_models.llama, tiny_models.gpt2])
def test_all_weights_of_a_dense_model_are_met(make: Any) -> None:
    weights = Weights.of(make())
    assert (weights.met, weights.met_trained) == (weights.total, weights.trained)


@pytest.mark.parametrize(
    ("name", "peak"),
    [
        ("NVIDIA H100 80GB HBM3", 989e12), ("NVIDIA H100 PCIe", 756e12),
        ("NVIDIA H100 NVL", 835e12), ("NVIDIA H200", 989e12), ("NVIDIA B200", 2250e12),
        ("NVIDIA A100-SXM4-80GB", 312e12), ("NVIDIA A10", 125e12), ("NVIDIA A10G", None),
        ("NVIDIA L4", 121e12), ("NVIDIA L40", 181e12), ("NVIDIA L40S", 362e12),
        ("NVIDIA GB200", None), ("NVIDIA GeForce RTX 4090", None),
    ],
)  # fmt: skip
def test_a_peak_is_looked_up_by_the_whole_name(
    monkeypatch: pytest.MonkeyPatch, name: str, peak: float | None
) -> None:
    monkeypatch.setattr(torch.cuda, "is_available", lambda: True)
    monkeypatch.setattr(torch.cuda, "get_device_name", lambda: name)
    assert speed.peak_flops() == peak
