"""Each optimizer's state is saved and restored exactly; the effect of the learning rate on each."""

import sys
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import pytest
import torch

from orpo.contract.methods import parse_method
from orpo.run import checkpoint as checkpoints
from orpo.run import train
from orpo.strategies.optimizer import make
from tests.orpo.tiny_run import (
    Bench,
    assert_near,
    assert_same,
    bitsandbytes,
    checkpoint,
    fork_ranks,
    join,
    numbers,
    records,
    state,
)

EIGHT_BITS = pytest.param("adamw_8bit", marks=bitsandbytes)
OPTIMIZERS = ["adamw", EIGHT_BITS, "adafactor"]
MEMORY = {
    "adamw": {"weight", "exp_avg", "exp_avg_sq", "step"},
    "adamw_8bit": {"weight", "state1", "state2", "absmax1", "absmax2", "step"},
    "adafactor": {"weight", "row_var", "col_var", "variance", "step"},
}


@pytest.mark.parametrize("precision", ["fp32", "bf16"])
@pytest.mark.parametrize("optimizer", OPTIMIZERS)
def test_a_resumed_run_is_the_same_run(bench: Bench, optimizer: str, precision: str) -> None:
    settings = {"optimizer": optimizer, "tuning": "full", "precision": precision}
    settings |= {"learning_rate": 1e-3, "weight_decay": 0.1, "checkpoint_every": 3}
    whole = bench.run("whole", **settings)
    resumed = bench.run("resumed", resume_from=checkpoint(whole, 3), **settings)
    assert_same(checkpoint(whole, 6), checkpoint(resumed, 6))
    assert numbers(resumed) == numbers(whole, after=3)
    tensors = state(checkpoint(whole, 6))
    assert {name.partition("/")[0] for name in tensors} == MEMORY[optimizer]
    steps = {float(t) for name, t in tensors.items() if name.startswith("step/")}
    assert steps == {6.0}


@bitsandbytes
def test_8_bits_hold_large_tensors_and_learn_as_32_do(bench: Bench) -> None:
    settings = {"tuning": "full", "learning_rate": 1e-3, "max_steps": 6}
    narrow = bench.run("narrow", optimizer="adamw_8bit", **settings)
    wide = bench.run("wide", **settings)
    tensors = state(checkpoint(narrow, 6))
    types = {t.dtype for name, t in tensors.items() if name.startswith("state1/")}
    assert types == {torch.uint8, torch.float32}
    assert tensors["state1/model.embed_tokens.weight"].dtype == torch.uint8
    first, *_, last = (numbers(wide)[step, "train"]["loss"] for step in (1, 6))
    found = numbers(narrow)[6, "train"]["loss"]
    assert numbers(narrow)[1, "train"] == numbers(wide)[1, "train"]
    assert abs(found - last) < 0.02 * (first - last)


@pytest.mark.parametrize("tuning", ["lora", "full"])
def test_adafactor_moves_a_weight_by_the_rate_at_most(bench: Bench, tuning: str) -> None:
    """The root mean square of a change is at most the rate, also for an adapter's zero half."""
    rate = 1e-3
    settings = {"optimizer": "adafactor", "tuning": tuning, "learning_rate": rate, "max_steps": 1}
    before = bench.run("before", **{**settings, "learning_rate": 1e-30})
    after = state(checkpoint(bench.run("after", **settings), 1))
    moved = {
        name: (after[name] - tensor).square().mean().sqrt().item()
        for name, tensor in state(checkpoint(before, 1)).items()
        if name.startswith("weight/")
    }
    assert max(moved.values()) <= 1.05 * rate
    # lora_A gets no gradient in the first step, since lora_B is zero.
    reached = [size for name, size in moved.items() if "lora_A" not in name]
    assert min(reached) > 0.2 * rate


def test_adafactor_keeps_a_row_and_a_column(bench: Bench) -> None:
    tensors = state(checkpoint(bench.run("run", optimizer="adafactor", tuning="full"), 6))
    name = "model.layers.0.mlp.down_proj.weight"
    rows, columns = tensors[f"weight/{name}"].shape
    assert tensors[f"row_var/{name}"].shape == (rows, 1)
    assert tensors[f"col_var/{name}"].shape == (1, columns)


def test_a_weight_that_no_token_reaches_stays_where_it_is() -> None:
    weight = torch.nn.Parameter(torch.randn(8, 4))
    weight.grad = torch.zeros_like(weight)
    weight.grad[0] = 1e-9  # less than torch's default epsilon, also squared
    before = weight.detach().clone()
    method = parse_method("orpo", {"optimizer": "adafactor", "learning_rate": 1e-3})
    make([weight], method).step()
    assert torch.equal(weight[1:], before[1:])
    assert (weight[0] - before[0]).abs().min() > 1e-4


@pytest.mark.slow
def test_two_ranks_of_adafactor_equal_one(bench: Bench) -> None:
    settings = {"optimizer": "adafactor", "tuning": "full", "learning_rate": 1e-3}
    one = bench.run("one", **settings)
    two = bench.spec("two", strategy="ddp", processes=2, **settings)
    assert join(fork_ranks(two, 2)) == [0, 0]
    assert_near(checkpoint(one, 6), checkpoint(two, 6))


@pytest.mark.parametrize("optimizer", OPTIMIZERS)
def test_the_disk_is_asked_for_what_a_checkpoint_takes(
    bench: Bench, monkeypatch: pytest.MonkeyPatch, optimizer: str, tmp_path: Path
) -> None:
    saved = checkpoint(bench.run("run", optimizer=optimizer, tuning="full", max_steps=2), 2)
    asked: list[int] = []

    class Free(int):
        def __lt__(self, needed: int) -> bool:
            asked.append(needed)
            return False

    monkeypatch.setattr("shutil.disk_usage", lambda _: SimpleNamespace(free=Free()))
    checkpoints._check_space(tmp_path, state(saved))
    folders = (saved / "state", saved / "model")
    written = sum(file.stat().st_size for f in folders for file in f.glob("*.safetensors"))
    assert written <= asked[0] <= 1.3 * written


@pytest.mark.parametrize(
    ("settings", "field"),
    [({"optimizer": "adamw_8bit"}, "optimizer"), ({"tuning": "qlora"}, "tuning")],
)
def test_a_missing_library_is_told_before_training(
    bench: Bench, monkeypatch: pytest.MonkeyPatch, settings: dict[str, Any], field: str
) -> None:
    monkeypatch.setitem(sys.modules, "bitsandbytes", None)
    run = bench.spec("run", **settings)
    assert train.main(run) == 2
    event = records(run, "events")[-1]
    assert (event["data"]["code"], event["data"]["param"]) == ("bad_spec", f"method.{field}")
    assert f"set {field} to" in event["data"]["hint"]
    assert not records(run, "metrics")
