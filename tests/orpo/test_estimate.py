"""Estimates of memory and time, and errors when memory runs out."""

from pathlib import Path
from typing import Any

import pytest

from orpo.contract.methods import Method
from orpo.contract.numbers import PairNumbers
from orpo.run import train
from orpo.run.estimate import estimate
from orpo.run.passes import numbers
from orpo.strategies.strategy import Replicated
from orpo.tokens.pack import Batch
from services.processes.verbs import smaller_budget
from tests.orpo.tiny_run import Bench, records


def estimated(run_dir: Path) -> dict[str, Any]:
    assert train.main(run_dir, estimate) == 0
    (event,) = [e for e in records(run_dir, "events") if e["type"] == "estimated"]
    return event["data"]


@pytest.mark.parametrize("tuning", ["lora", "full"])
def test_an_estimate_counts_what_the_run_then_does(bench: Bench, tuning: str) -> None:
    settings = {"tuning": tuning, "n_epochs": 2, "max_steps": None}
    found = estimated(bench.spec("estimate", **settings))
    run = bench.run("run", **settings)
    start = records(run, "events")[0]["data"]
    for name in ("steps", "pairs", "held_out_pairs", "parameters", "trainable_parameters"):
        assert found[name] == start[name]
    trained = [r for r in records(run, "metrics") if r["split"] == "train"]
    assert found["tokens"] == trained[-1]["values"]["trained_tokens"]
    assert found["time"]["total_s"] > found["time"]["train_s"] > 0
    assert found["device"]["memory_bytes"] > 2**30


def test_an_estimate_saves_nothing(bench: Bench) -> None:
    run_dir = bench.spec("estimate")
    estimated(run_dir)
    assert not (run_dir / "checkpoints").exists()
    assert [e["type"] for e in records(run_dir, "events")][-1] == "finished"


def test_memory_is_told_by_what_takes_it(bench: Bench) -> None:
    found = estimated(bench.spec("estimate", tuning="full", precision="bf16"))
    memory, weights = found["memory"], found["parameters"]
    assert memory["weights_bytes"] == (2 + 4) * weights  # bf16 weights and fp32 masters
    assert memory["gradients_bytes"] == 4 * weights
    assert memory["optimizer_bytes"] - 8 * weights < 4 * 100  # two moments; a step per tensor
    assert sum(memory.values()) - memory["peak_bytes"] == memory["peak_bytes"]


@pytest.fixture
def passes(monkeypatch: pytest.MonkeyPatch) -> list[int]:
    """The number of tokens of each training forward pass, in order."""
    found: list[int] = []

    def watched(strategy: Replicated, batch: Batch, method: Method) -> PairNumbers:
        found.append(len(batch.input_ids_T))
        return numbers(strategy, batch, method)

    monkeypatch.setattr("orpo.run.gradients.numbers", watched)
    return found


# 8: each pair in its own pass. 4096: each step in one pass. There are 16 pairs.
@pytest.mark.parametrize(("token_budget", "passes_a_step"), [(8, 2), (4096, 1)])
@pytest.mark.parametrize("seed", range(3))
def test_a_run_begins_with_the_forward_pass_that_needs_most_memory(
    bench: Bench, passes: list[int], token_budget: int, passes_a_step: int, seed: int
) -> None:
    settings: dict[str, Any] = {"batch_size": 2, "token_budget": token_budget, "seed": seed}
    run = bench.run("run", max_steps=8, n_samples=0, eval_every=8, **settings)
    assert len(passes) == 8 * passes_a_step
    assert max(passes[: 2 * passes_a_step]) == max(passes)
    started = records(run, "events")[0]["data"]
    assert started["token_budget"] == token_budget
    assert (started["longest"] == max(passes)) == (passes_a_step == 2)


@pytest.mark.slow
def test_half_a_budget_leaves_the_order_as_it_was(bench: Bench) -> None:
    seen = [
        [
            record["values"]["lengths/prompt"]
            for record in records(bench.run(f"of-{budget}", token_budget=budget), "metrics")
            if record["split"] == "train"
        ]
        for budget in (400, 200, 100)
    ]
    assert seen[0] == seen[1] == seen[2]


@pytest.mark.parametrize("pairs_a_step", [2, 8, 16])  # eight, two or one step per epoch
def test_an_estimate_measures_what_the_run_begins_with(
    bench: Bench, passes: list[int], pairs_a_step: int
) -> None:
    settings: dict[str, Any] = {
        "batch_size": pairs_a_step,
        "token_budget": 4096,
        "n_samples": 0,
        "eval_every": 8,
    }
    estimated(bench.spec("estimate", **settings))
    probed = passes.copy()
    passes.clear()
    bench.run("run", max_steps=16 // pairs_a_step, **settings)
    assert max(probed) == max(passes) == max(passes[:2])
    assert set(probed) <= set(passes[:2])
    assert len(probed) == 3


def test_a_budget_is_halved_only_where_that_makes_a_forward_pass_smaller() -> None:
    assert smaller_budget({"token_budget": 8192, "longest": 3000}) == 4096
    assert smaller_budget({"token_budget": 2048, "longest": 3000}) is None
    assert smaller_budget({}) is None  # memory ran out while the weights were loaded


def test_running_out_of_memory_is_told_as_such(
    bench: Bench, monkeypatch: pytest.MonkeyPatch
) -> None:
    def too_large(*_: Any) -> None:
        raise RuntimeError("[enforce fail] DefaultCPUAllocator: can't allocate memory")

    monkeypatch.setattr("orpo.run.gradients.numbers", too_large)
    run_dir = bench.spec("run")
    assert train.main(run_dir) == 4
    started, *_, error = records(run_dir, "events")
    assert error["data"]["code"] == "out_of_memory"
    assert smaller_budget(started["data"]) is not None
