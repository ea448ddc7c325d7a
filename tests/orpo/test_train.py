"""Whole runs of a tiny model: their logs, their ends, and refused settings."""

import errno
import json
import math
import os
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import pytest
import torch
from torch.autograd.graph import saved_tensors_hooks

from orpo.contract.methods import Method, parse_method
from orpo.contract.numbers import PairNumbers, share
from orpo.contract.spec import read_spec
from orpo.layers import attention
from orpo.loss import series
from orpo.model import policy
from orpo.rows.formats import validate
from orpo.run import passes, train
from orpo.run.speed import PHASES_ON_POLICY
from orpo.strategies import optimizer
from orpo.tokens import data, pack
from tests.orpo.tiny_run import (
    CLOCKS,
    OF_PAIRS,
    Bench,
    assert_same,
    checkpoint,
    numbers,
    records,
    state,
    write_base,
    write_pairs,
)

SERIES = {
    "loss", "loss/nll", "loss/or", "loss/preference", "logps/chosen", "logps/rejected",
    "log_odds_ratio", "accuracy", "accuracy/low", "accuracy/high", "margin/p05", "margin/p25",
    "margin/p50", "margin/p75", "margin/p95", "or_share",
}  # fmt: skip
STEP_SERIES = {
    "grad_norm", "lr", "epoch", "tokens_per_s", "pairs_per_s", "mem_peak_bytes", "step_s",
    "lengths/prompt", "lengths/chosen", "lengths/rejected", "truncated_share", "trained_tokens",
    *CLOCKS,
} - {"mfu", *map(share, PHASES_ON_POLICY)}  # fmt: skip


def shared(name: str) -> Path:
    folder = Path(os.environ.get("ODDSMITH_SHARED", Path(__file__).parents[2].parent / "shared"))
    path = folder / "data" / name
    if not path.exists():
        pytest.skip(f"{path} is absent: real pairs are not part of the project")
    return path


def test_a_run_logs_every_series_and_learns(bench: Bench) -> None:
    run = bench.run("a", max_steps=20, eval_every=10, tuning="full", **{"lambda": 0.5})
    metrics = records(run, "metrics")
    assert [r["step"] for r in metrics if r["split"] == "train"] == list(range(1, 21))
    assert [r["step"] for r in metrics if r["split"] == "held_out"] == [0, 10, 20]
    for record in metrics:
        assert set(record["values"]) == (
            SERIES | STEP_SERIES if record["split"] == "train" else SERIES
        )
        assert all(v is not None and math.isfinite(v) for v in record["values"].values())
    values = numbers(run)
    assert values[20, "train"]["loss"] < 0.8 * values[1, "train"]["loss"]
    assert values[20, "train"]["log_odds_ratio"] > values[1, "train"]["log_odds_ratio"]
    assert values[20, "train"]["loss"] == pytest.approx(
        values[20, "train"]["loss/nll"] + 0.5 * values[20, "train"]["loss/or"], rel=1e-6
    )
    assert [s["step"] for s in records(run, "samples")] == [0, 10, 20]
    assert len(records(run, "pairs")) == 3 * 4
    events = records(run, "events")
    assert [e["type"] for e in events[:2]] == ["started", "evaluated"]
    assert events[-1]["type"] == "finished"
    assert events[-1]["data"]["checkpoint"] == "checkpoints/step-000020"
    saved = [e["data"] for e in events if e["type"] == "checkpoint"]
    assert [s["step"] for s in saved] == list(range(2, 21, 2))
    assert saved[-1]["metrics"]["held_out"]["accuracy"] == values[20, "held_out"]["accuracy"]


@pytest.mark.slow
@pytest.mark.parametrize("tuning", ["lora", "full"])
def test_layers_that_are_computed_again_give_the_same_bits(
    bench: Bench, monkeypatch: pytest.MonkeyPatch, tuning: str
) -> None:
    calls: list[int] = []
    leave = attention.Layout.__init__

    def count(layout: attention.Layout, *args: Any) -> None:
        leave(layout, *args)
        layouts.append(layout)

    layouts: list[attention.Layout] = []
    monkeypatch.setattr(attention.Layout, "__init__", count)
    for name, again in (("kept", False), ("again", True)):
        layouts.clear()
        bench.run(name, tuning=tuning, gradient_checkpointing=again, n_samples=0, eval_every=100)
        calls.append(max(layout.calls for layout in layouts))
    assert calls == [2, 4]  # two layers; with checkpointing both again in the backward pass
    assert_same(checkpoint(bench.folder / "kept", 6), checkpoint(bench.folder / "again", 6))


@pytest.mark.slow
def test_what_is_kept_may_lie_elsewhere(bench: Bench, monkeypatch: pytest.MonkeyPatch) -> None:
    """Offloading moves each layer's input and nothing else; on a CPU it moves nothing."""
    moved: list[torch.Size] = []
    settings = {"gradient_checkpointing": True, "n_samples": 0, "eval_every": 100}
    bench.run("kept", **settings)
    bench.run("there", activation_offload=True, **settings)

    def move(tensor: torch.Tensor) -> torch.Tensor:
        moved.append(tensor.shape)
        return tensor.clone()

    monkeypatch.setattr(policy, "in_host_memory", lambda: saved_tensors_hooks(move, torch.clone))
    bench.run("moved", activation_offload=True, **settings)
    assert {(shape[0], shape[2]) for shape in moved} == {(1, 32)}  # one row of hidden states
    assert len(moved) >= 2 * 6  # two layers, six steps
    for name in ("there", "moved"):
        assert_same(checkpoint(bench.folder / "kept", 6), checkpoint(bench.folder / name, 6))


def test_a_checkpoint_belongs_to_what_changes_results(bench: Bench) -> None:
    def fingerprint(**settings: Any) -> str:
        return data.fingerprint(read_spec(bench.spec("run", **settings)))

    plain = fingerprint()
    assert fingerprint(gradient_checkpointing=True, activation_offload=True) == plain
    for settings in (
        {"optimizer": "adafactor"},
        {"optimizer": "adamw_8bit"},
        {"tuning": "qlora"},
        {"use_dora": True},
        {"modules_to_save": ["lm_head"]},
        {"special_tokens": "escape"},
    ):
        assert fingerprint(**settings) != plain


@pytest.mark.parametrize("settings", [{"n_samples": 0, "eval_every": 100}, {"token_budget": 2048}])
def test_what_only_watches_or_packs_changes_no_weight(bench: Bench, settings: dict) -> None:
    """Evaluation and sampling change no weight; micro-batches change the last digits at most.

    Differences of log-probs have the absolute error of log-probs. So values near zero may differ by
    one last place of an fp32 number of the log-probs' size (5.5), others by a relative 2e-6.
    """
    plain, other = bench.run("plain"), bench.run("other", **settings)
    exact = "token_budget" not in settings
    for key, values in numbers(plain).items():
        if key[1] == "train":
            expected = values if exact else pytest.approx(values, rel=2e-6, abs=2**-21)
            assert numbers(other)[key] == expected


def test_nan_ends_the_run_and_nothing_of_it_is_kept(bench: Bench, tmp_path: Path) -> None:
    run = bench.spec("nan", base=write_base(tmp_path / "poisoned", poison=True), n_samples=0)
    assert train.main(run) == 3
    event = records(run, "events")[-1]
    assert (event["type"], event["data"]["code"]) == ("error", "nan")
    assert event["data"]["hint"]
    assert not list(run.glob("checkpoints/*"))
    assert records(run, "metrics")[0]["values"]["loss"] is None  # the evaluation before the NaN


def test_a_bad_spec_names_the_field(bench: Bench) -> None:
    run = bench.spec("bad")
    spec = json.loads((run / "spec.json").read_text())
    spec["method"]["lambda"] = -1
    (run / "spec.json").write_text(json.dumps(spec))
    assert train.main(run) == 2
    event = records(run, "events")[-1]
    assert (event["data"]["code"], event["data"]["param"]) == ("bad_spec", "method.orpo.lambda")


def test_a_run_directory_with_an_unknown_file_is_refused_by_name(bench: Bench) -> None:
    run = bench.spec("unknown")
    (run / "of_a_newer_release.jsonl").touch()
    assert train.main(run) == 2
    event = records(run, "events")[-1]
    assert event["data"]["code"] == "bad_spec"
    assert "holds `of_a_newer_release.jsonl`, which this release does not know" in event["message"]
    assert event["data"]["hint"]


def test_a_full_disk_leaves_no_half_checkpoint(
    bench: Bench, monkeypatch: pytest.MonkeyPatch
) -> None:
    run = bench.spec("full")
    monkeypatch.setattr("shutil.disk_usage", lambda _: SimpleNamespace(free=10))
    assert train.main(run) == 5
    assert records(run, "events")[-1]["data"]["code"] == "disk_full"
    assert not list(run.glob("checkpoints/*"))


def test_a_disk_too_full_for_last_words_is_told_by_the_exit_status(
    bench: Bench, monkeypatch: pytest.MonkeyPatch
) -> None:
    def full(*_: Any) -> None:
        raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC))

    monkeypatch.setattr(train.Journal, "_write", full)
    assert train.main(bench.spec("full")) == 5


@pytest.mark.parametrize("tuning", ["lora", "full"])
@pytest.mark.parametrize("kind", OF_PAIRS)
def test_every_kind_of_run_finishes_in_bf16(bench: Bench, kind: str, tuning: str) -> None:
    run = bench.run("run", type=kind, tuning=tuning, precision="bf16", max_steps=2)
    last = numbers(run)[2, "held_out"]
    assert ("or_share" in last) is (kind == "orpo")
    assert "accuracy" in last  # the rejected side is measured under both
    assert (checkpoint(run, 2) / ("adapter" if tuning == "lora" else "model")).is_dir()


@pytest.mark.parametrize("tuning", ["lora", "full"])
def test_dpo_compares_with_the_untrained_policy(bench: Bench, tuning: str) -> None:
    run = bench.run("run", type="dpo", tuning=tuning, max_steps=4, learning_rate=2e-3)
    first = numbers(run)[1, "train"]
    assert first["loss"] == pytest.approx(math.log(2), abs=1e-5)
    assert first["gain/chosen"] == pytest.approx(0, abs=1e-4)
    last = numbers(run)[4, "train"]
    assert last["gain/chosen"] > last["gain/rejected"]
    assert last["loss"] < first["loss"]


def test_supervised_rows_need_no_rejected_side(bench: Bench) -> None:
    rows = [json.loads(line) for line in bench.train_path.read_text().splitlines()]
    for row in rows[::2]:
        row["rejected"] = None
    bench.train_path.write_text("".join(json.dumps(row) + "\n" for row in rows))
    last = numbers(bench.run("mixed", type="supervised", max_steps=3))[3, "held_out"]
    assert last["loss"] == last["loss/nll"] > 0


@pytest.mark.parametrize("kind", ["supervised", "orpo"])
def test_tokens_that_count_are_those_that_are_computed(
    bench: Bench, monkeypatch: pytest.MonkeyPatch, kind: str
) -> None:
    """A rejected side that the loss does not use is neither computed nor counted."""
    computed: list[int] = []

    def watched(strategy: Any, batch: pack.Batch, method: Method) -> PairNumbers:
        computed.append(len(batch.input_ids_T))
        return passes.numbers(strategy, batch, method)

    monkeypatch.setattr("orpo.run.gradients.numbers", watched)
    run = bench.run("run", type=kind, max_steps=3, token_budget=8)  # each pair in its own pass
    trained = [r["values"] for r in records(run, "metrics") if r["split"] == "train"]
    assert trained[-1]["trained_tokens"] == sum(computed)
    sides = ["prompt", "chosen", "rejected"] if kind == "orpo" else ["prompt", "chosen"]
    for values in trained:
        useful = values["tokens_per_s"] * values["step_s"]
        assert useful == pytest.approx(4 * sum(values[f"lengths/{side}"] for side in sides))
    assert records(run, "events")[0]["data"]["longest"] == max(computed)


@pytest.mark.parametrize(
    ("schedule", "last"),
    [("cosine", (1 + math.cos(math.pi * 8 / 9)) / 2), ("linear", 1 / 9), ("constant", 1.0)],
)
def test_rates_rise_peak_and_fall(schedule: str, last: float) -> None:
    rising = {"learning_rate": 0.5, "learning_rate_multiplier": 2, "warmup_ratio": 0.1}
    method = parse_method("orpo", {**rising, "schedule": schedule})
    rates = [optimizer.rate(step, 11, method) for step in range(1, 12)]
    assert rates[:2] == [0.5, 1.0]
    assert rates[2] == 1.0
    assert rates[-1] == pytest.approx(last)
    assert rates[1:] == sorted(rates[1:], reverse=True)


def test_wilson_interval() -> None:
    assert series.wilson(8, 10) == pytest.approx((0.4901625, 0.9433178))
    assert series.wilson(0, 5)[0] == 0.0
    assert series.wilson(5, 5)[1] == 1.0


def test_real_long_pairs_train_without_nan(bench: Bench, tmp_path: Path) -> None:
    """Some prompts of this file leave no room for an answer; with them TRL's loss is NaN."""
    source = shared("dpo_en_demo.jsonl")
    rows = tmp_path / "rows.jsonl"
    validate(source, source.name, rows)
    rows.write_text("".join(rows.read_text().splitlines(keepends=True)[:40]))
    run = bench.run(
        "long", train_path=rows, max_length=1024, max_steps=2, max_held_out=1, n_samples=0
    )
    assert records(run, "events")[0]["data"]["dropped"]["prompt_too_long"] > 0
    losses = [values["loss"] for values in numbers(run).values()]
    assert all(math.isfinite(loss) for loss in losses)
    assert all(torch.isfinite(t).all() for t in state(checkpoint(run, 2)).values())


def test_prompts_shared_by_two_pairs_stay_on_one_side(bench: Bench, tmp_path: Path) -> None:
    rows = [json.loads(line) for line in write_pairs(tmp_path / "p", 30).read_text().splitlines()]
    prompts = [row["prompt"] for row in rows]
    for at, row in enumerate(rows):
        row["prompt"] = prompts[at // 3]
    bench.train_path.write_text("".join(json.dumps(row) + "\n" for row in rows))
    train_side, held_out = data.split(read_spec(bench.spec("split", held_out_fraction=0.2)))
    sides = [{json.dumps(p.prompt) for p in side} for side in (train_side, held_out)]
    assert len(list(held_out)) == 6
    assert not sides[0] & sides[1]


def test_an_epoch_is_shuffled_once(bench: Bench, monkeypatch: pytest.MonkeyPatch) -> None:
    epochs: list[int] = []

    def plan(*arguments: Any) -> list[list[int]]:
        epochs.append(arguments[-1])
        return pack.plan(*arguments)

    monkeypatch.setattr("orpo.run.train.plan", plan)
    bench.run("run", max_steps=6)  # 4 steps per epoch
    assert epochs == [0, 1]
