"""A run that is killed at any step and resumed equals an undisturbed run, bit for bit (gate 3)."""

import os
import signal
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from orpo.run import evaluate, train
from tests.orpo.tiny_run import (
    FSDP2,
    ZERO2,
    ZERO3,
    Bench,
    assert_near,
    assert_same,
    bitsandbytes,
    checkpoint,
    fork_ranks,
    fork_single,
    join,
    numbers,
    records,
    spread_over,
)

STEPS = 6


def wait_for_step(run_dir: Path, step: int, child: Any) -> None:
    """Return as soon as the step is in the metrics; the child may already be further."""
    until = time.monotonic() + 60
    while not any(r["step"] >= step and r["split"] == "train" for r in metrics_so_far(run_dir)):
        assert time.monotonic() < until, f"step {step} never came"
        assert child.is_alive() or child.exitcode == 0, records(run_dir, "events")
        time.sleep(0.002)


def metrics_so_far(run_dir: Path) -> list[dict[str, Any]]:
    try:
        return records(run_dir, "metrics")
    except ValueError:  # the last line is being written
        return []


def last_committed(run_dir: Path) -> Path | None:
    folders = sorted(run_dir.glob("checkpoints/step-*[0-9]"))
    return folders[-1] if folders else None


def slow(settings: dict[str, Any], killed_at: int, *marks: pytest.MarkDecorator) -> Any:
    return pytest.param(settings, killed_at, marks=[pytest.mark.slow, *marks])


@pytest.mark.parametrize(
    ("settings", "killed_at"),
    [
        ({}, 1),
        slow({}, 3),
        slow({}, 5),
        slow({"precision": "bf16"}, 3),
        ({"tuning": "full", "precision": "bf16"}, 5),
        slow({"type": "dpo", "tuning": "full"}, 3),
        ({"type": "reward", "precision": "bf16"}, 3),
        slow({"type": "reward", "tuning": "full", "precision": "bf16", "center": 0.1}, 3),
        slow({"optimizer": "adafactor"}, 3),
        slow({"use_dora": True, "precision": "bf16"}, 3),
        slow({"modules_to_save": ["lm_head"], "precision": "bf16"}, 3),
        slow({"optimizer": "adamw_8bit", "tuning": "full"}, 3, bitsandbytes),
        slow({"tuning": "qlora", "precision": "bf16"}, 3, bitsandbytes),
    ],
)
def test_killed_and_resumed_is_bit_equal(
    bench: Bench, undisturbed: Callable[..., Path], settings: dict[str, Any], killed_at: int
) -> None:
    whole = undisturbed(**settings)
    killed = bench.spec("killed", **settings)
    child = fork_single(killed)
    wait_for_step(killed, killed_at, child)
    os.kill(child.pid, signal.SIGKILL)
    join([child])
    folder = last_committed(killed)
    assert folder is not None or killed_at == 1
    resumed = bench.run("resumed", resume_from=folder, **settings)
    assert_same(checkpoint(whole, STEPS), checkpoint(resumed, STEPS))
    assert numbers(resumed) == numbers(whole, after=int(folder.name[-6:]) if folder else -1)
    if folder:
        event = records(resumed, "events")[0]
        assert event["type"] == "resumed"
        assert event["data"]["first_step"] == int(folder.name[-6:]) + 1


@pytest.mark.slow
def test_sigterm_saves_at_the_step_boundary_and_the_run_goes_on(bench: Bench) -> None:
    settings: dict[str, Any] = {"max_steps": 40, "checkpoint_every": 100, "eval_every": 20}
    whole = bench.run("whole", **settings)
    run = bench.spec("stopped", **settings)
    child = fork_single(run)
    wait_for_step(run, 2, child)
    os.kill(child.pid, signal.SIGTERM)
    assert join([child]) == [75]
    event = records(run, "events")[-1]
    assert (event["type"], event["data"]["reason"]) == ("stopped", "sigterm")
    folder = run / event["data"]["checkpoint"]
    step = event["data"]["step"]
    assert folder == last_committed(run)
    assert step == records(run, "metrics")[-1]["step"] < 40
    resumed = bench.run("resumed", resume_from=folder, **settings)
    assert_same(checkpoint(whole, 40), checkpoint(resumed, 40))
    assert numbers(run) | numbers(resumed) == numbers(whole)


def test_a_stop_before_the_first_step_saves_nothing(
    bench: Bench, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("orpo.process.stopping.Stopping.requested", True)
    run = bench.spec("early")
    assert train.main(run) == 75
    event = records(run, "events")[-1]
    assert (event["type"], event["data"]["checkpoint"]) == ("stopped", None)
    assert not list(run.glob("checkpoints/*"))


def test_an_end_names_a_checkpoint_that_is_there(
    bench: Bench, monkeypatch: pytest.MonkeyPatch
) -> None:
    first = bench.run("first")
    folder = checkpoint(first, STEPS)
    again = bench.run("again", resume_from=folder)  # no steps are left, so nothing is saved
    ends = [run / records(run, "events")[-1]["data"]["checkpoint"] for run in (first, again)]
    assert [end.resolve() for end in ends] == [folder, folder]
    monkeypatch.setattr("orpo.process.stopping.Stopping.requested", True)
    stopped = bench.spec("stopped", resume_from=checkpoint(first, 4))
    assert train.main(stopped) == 75
    end = stopped / records(stopped, "events")[-1]["data"]["checkpoint"]
    assert end.resolve() == checkpoint(first, 4)


def test_an_evaluation_cut_short_by_a_stop_is_made_up_for(
    bench: Bench, monkeypatch: pytest.MonkeyPatch
) -> None:
    whole = bench.run("whole")
    deal = evaluate.deal
    stopping: list[Any] = []
    listen = train.Stopping.listen
    monkeypatch.setattr(
        "orpo.process.stopping.Stopping.listen", lambda self: stopping.append(self) or listen(self)
    )

    def ask_meanwhile(*args: Any, **kwargs: Any) -> Any:
        for work in deal(*args, **kwargs):
            stopping[-1].requested = len(records(run, "metrics")) == 4  # the evaluation at step 3
            yield work

    run = bench.spec("cut", token_budget=60)
    monkeypatch.setattr(evaluate, "deal", ask_meanwhile)
    assert train.main(run) == 75
    assert (3, "held_out") not in numbers(run)
    monkeypatch.setattr(evaluate, "deal", deal)
    resumed = bench.run("resumed", resume_from=checkpoint(run, 3))
    assert [k for k in numbers(resumed) if k[0] == 3] == [(3, "held_out")]
    assert numbers(run).keys() | numbers(resumed).keys() == numbers(whole).keys()


def test_a_checkpoint_of_other_settings_is_refused(bench: Bench) -> None:
    folder = checkpoint(bench.run("first", max_steps=2), 2)
    run = bench.spec("second", max_steps=2, resume_from=folder, learning_rate=1e-4)
    assert train.main(run) == 7
    event = records(run, "events")[-1]
    assert event["data"]["code"] == "not_resumable"
    assert "other data or settings" in event["message"]


@pytest.mark.slow
@pytest.mark.parametrize("strategy", ["ddp", FSDP2, ZERO2, ZERO3])
def test_two_ranks_killed_and_resumed_are_bit_equal(bench: Bench, strategy: str) -> None:
    settings = spread_over(strategy)
    whole, killed = bench.spec("whole", **settings), bench.spec("killed", **settings)
    assert join(fork_ranks(whole, 2)) == [0, 0]
    children = fork_ranks(killed, 2)
    wait_for_step(killed, 4, children[0])
    for child in children:
        os.kill(child.pid, signal.SIGKILL)
    join(children)
    folder = last_committed(killed)
    assert folder is not None
    resumed = bench.spec("resumed", resume_from=folder, **settings)
    assert join(fork_ranks(resumed, 2)) == [0, 0]
    assert_same(checkpoint(whole, STEPS), checkpoint(resumed, STEPS))
    assert numbers(resumed) == numbers(whole, after=int(folder.name[-6:]))


# ZeRO-2 and ZeRO-3 restore by the same code.
OTHER_RANKS = [
    ("ddp", 1, 2), ("ddp", 2, 1), ("ddp", 2, 3),
    ("fsdp2", 1, 2), ("fsdp2", 2, 1), ("fsdp2", 2, 3),
    ("zero2", 2, 3), ("zero3", 2, 1), ("zero3", 2, 3),
    *(pytest.param(*each, marks=pytest.mark.long) for each in [
        ("zero2", 1, 2), ("zero2", 2, 1), ("zero3", 1, 2),
    ]),
]  # fmt: skip


@pytest.mark.slow
@pytest.mark.parametrize(("strategy", "before", "after"), OTHER_RANKS)
def test_over_another_number_of_ranks_a_run_goes_on_to_the_same_end(
    bench: Bench, undisturbed: Callable[..., Path], strategy: str, before: int, after: int
) -> None:
    whole = undisturbed(learning_rate=1e-3)
    first = bench.spec("first", learning_rate=1e-3, **spread_over(strategy, before))
    assert join(fork_ranks(first, before)) == [0] * before
    again = bench.spec(
        "again",
        learning_rate=1e-3,
        resume_from=checkpoint(first, 4),
        **spread_over(strategy, after),
    )
    assert join(fork_ranks(again, after)) == [0] * after
    assert_near(checkpoint(whole, STEPS), checkpoint(again, STEPS))
    for key, values in numbers(whole, after=4).items():
        assert numbers(again)[key] == pytest.approx(values, rel=1e-5, abs=1e-6)
