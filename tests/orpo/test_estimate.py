"""What a run would take, and what it says when it takes too much."""

from pathlib import Path
from typing import Any

import pytest

from orpo import train
from orpo.estimate import estimate
from orpo.spec import read_spec
from services.verbs import smaller_budget
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
    assert memory["weights_bytes"] == (2 + 4) * weights  # in bf16, and their masters
    assert memory["gradients_bytes"] == 4 * weights
    assert memory["optimizer_bytes"] - 8 * weights < 4 * 100  # two moments; a step for each tensor
    assert sum(memory.values()) - memory["peak_bytes"] == memory["peak_bytes"]


def test_a_run_begins_with_the_batch_that_needs_most_memory(bench: Bench) -> None:
    run = bench.run("run", max_steps=6, batch_size=2)
    started = records(run, "events")[0]["data"]
    first = next(r for r in records(run, "metrics") if r["split"] == "train")
    assert first["values"]["trained_tokens"] >= started["longest"]
    assert started["token_budget"] == read_spec(run).method.token_budget


def test_a_budget_is_halved_only_where_that_makes_a_forward_pass_smaller() -> None:
    assert smaller_budget({"token_budget": 8192, "longest": 3000}) == 4096
    assert smaller_budget({"token_budget": 2048, "longest": 3000}) is None
    assert smaller_budget({}) is None  # memory ran out while the weights were loaded


def test_running_out_of_memory_is_told_as_such(
    bench: Bench, monkeypatch: pytest.MonkeyPatch
) -> None:
    def too_large(*_: Any) -> None:
        raise RuntimeError("[enforce fail] DefaultCPUAllocator: can't allocate memory")

    monkeypatch.setattr("orpo.gradients.token_logps", too_large)
    run_dir = bench.spec("run")
    assert train.main(run_dir) == 4
    started, *_, error = records(run_dir, "events")
    assert error["data"]["code"] == "out_of_memory"
    assert smaller_budget(started["data"]) is not None
