"""DPO's reference log-probs: measured once, read again on resume, not used by other runs."""

import os
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from orpo.model.policy import token_logps
from orpo.run import reference, train
from tests.orpo.tiny_run import Bench, assert_same, checkpoint, fork_ranks, join, numbers, records

SETTINGS = {"type": "dpo", "max_steps": 4, "learning_rate": 2e-3, "checkpoint_every": 2}


@pytest.fixture
def measured(monkeypatch: pytest.MonkeyPatch) -> list[int]:
    """The number of measured pairs in each batch."""
    sizes: list[int] = []

    def count(policy: Any, batch: Any, *rest: Any) -> Any:
        sizes.append(batch.n_pairs)
        return token_logps(policy, batch, *rest)

    monkeypatch.setattr(reference, "token_logps", count)
    return sizes


def kept(bench: Bench) -> list[Path]:
    return sorted(bench.folder.glob("tokens-*/*/reference-*.npy"))


@pytest.mark.parametrize("tuning", ["lora", "full"])
def test_who_goes_on_reads_it_and_comes_to_the_same_bits(
    bench: Bench, measured: list[int], tuning: str
) -> None:
    whole = bench.run("whole", tuning=tuning, **SETTINGS)
    assert sum(measured) == 20
    assert len(kept(bench)) == 2
    measured.clear()
    resumed = bench.run("on", tuning=tuning, resume_from=checkpoint(whole, 2), **SETTINGS)
    assert measured == []
    assert_same(checkpoint(resumed, 4), checkpoint(whole, 4))
    for path in kept(bench):
        path.unlink()
    again = bench.run("again", tuning=tuning, resume_from=checkpoint(whole, 2), **SETTINGS)
    assert sum(measured) == 20
    assert_same(checkpoint(again, 4), checkpoint(whole, 4))


@pytest.mark.parametrize(
    "other", [{"precision": "bf16"}, {"token_budget": 900}, {"prefix_sharing": False}]
)
def test_who_computes_otherwise_measures_anew(
    bench: Bench, measured: list[int], other: dict[str, Any]
) -> None:
    bench.run("first", **SETTINGS)
    bench.run("same", **{**SETTINGS, "beta": 0.3, "lora_rank": 3})
    assert sum(measured) == 20
    bench.run("other", **{**SETTINGS, **other})
    assert sum(measured) == 40


def test_another_base_is_measured_anew(bench: Bench, measured: list[int]) -> None:
    bench.run("first", **SETTINGS)
    weights = bench.base / "model.safetensors"
    before = weights.stat()
    os.utime(weights, ns=(before.st_atime_ns, before.st_mtime_ns + 1))
    bench.run("other", **SETTINGS)
    assert sum(measured) == 40


def test_what_is_damaged_is_measured_anew(bench: Bench, measured: list[int]) -> None:
    first = bench.run("first", **SETTINGS)
    held_out, training = kept(bench)
    held_out.write_bytes(held_out.read_bytes()[:-5])
    np.save(training, np.zeros((3, 2)))
    again = bench.run("again", **SETTINGS)
    assert sum(measured) == 40
    assert_same(checkpoint(again, 4), checkpoint(first, 4))


def test_of_what_was_broken_off_nothing_is_kept(
    bench: Bench, monkeypatch: pytest.MonkeyPatch
) -> None:
    def stop(policy: Any, batch: Any, *rest: Any) -> Any:
        os.kill(os.getpid(), 15)
        return token_logps(policy, batch, *rest)

    monkeypatch.setattr(reference, "token_logps", stop)
    run_dir = bench.spec("run", **SETTINGS)
    assert train.main(run_dir) == train.STOPPED
    assert kept(bench) == []
    assert records(run_dir, "events")[-1]["type"] == "stopped"


def test_pairs_are_measured_a_few_at_a_time(bench: Bench, monkeypatch: pytest.MonkeyPatch) -> None:
    whole = bench.run("whole", **SETTINGS)
    sums = [np.load(path) for path in kept(bench)]
    for path in kept(bench):
        path.unlink()
    monkeypatch.setattr(reference, "AT_A_TIME", 3)
    by_three = bench.run("by-three", **SETTINGS)
    for path, expected in zip(kept(bench), sums, strict=True):
        np.testing.assert_allclose(np.load(path), expected, rtol=1e-5)
    ours, theirs = (numbers(run)[4, "train"]["loss"] for run in (by_three, whole))
    assert ours == pytest.approx(theirs, abs=1e-4)


@pytest.mark.slow
def test_ranks_keep_it_together(bench: Bench) -> None:
    settings = {**SETTINGS, "strategy": "ddp", "processes": 2}
    first = bench.spec("first", **settings)
    assert join(fork_ranks(first, 2)) == [0, 0]
    times = [path.stat().st_mtime_ns for path in kept(bench)]
    assert len(times) == 2
    again = bench.spec("again", **settings)
    assert join(fork_ranks(again, 2)) == [0, 0]
    assert [path.stat().st_mtime_ns for path in kept(bench)] == times
    assert_same(checkpoint(again, 4), checkpoint(first, 4))
