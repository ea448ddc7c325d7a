"""The examples that need no server, run as a user runs them, on a tiny model."""

import os
import runpy
import sys
from collections.abc import Callable
from pathlib import Path
from statistics import fmean

import pytest

from cli.stack.parts import ROOT
from tests.orpo.tiny_run import numbers, records, write_pairs

EXAMPLES = ROOT / "examples"


SHORT = (
    "batch_size=4", "precision=fp32", "learning_rate=0.01", "held_out_fraction=0.2", "n_samples=0",
)  # fmt: skip


@pytest.fixture
def pairs(tmp_path: Path) -> Path:
    return write_pairs(tmp_path / "pairs.jsonl", 20)


@pytest.fixture
def run(monkeypatch: pytest.MonkeyPatch) -> Callable[..., None]:
    """Run a script in this process, which has loaded torch already, and expect it to succeed."""

    def run(script: str, *arguments: object) -> None:
        monkeypatch.setattr(sys, "argv", [script, *map(str, arguments)])
        monkeypatch.setattr(os, "sched_getaffinity", lambda _: {0})  # one thread is enough
        monkeypatch.syspath_prepend(EXAMPLES)
        with pytest.raises(SystemExit) as ended:
            runpy.run_path(str(EXAMPLES / script), run_name="__main__")
        assert ended.value.code == 0

    return run


def test_the_core_trains_without_a_server(run, pairs, tiny_base, tmp_path, capsys):
    out = tmp_path / "out"
    run("train_without_server.py", tiny_base, pairs, out, "max_steps=2", *SHORT)
    said = capsys.readouterr().out
    assert "20 of 20 pairs can be used" in said
    assert f"checkpoint {out / 'checkpoints' / 'step-000002'}" in said
    assert (out / "checkpoints" / "step-000002" / "adapter" / "adapter_model.safetensors").is_file()
    assert [event["type"] for event in records(out, "events")][-1] == "finished"


def test_a_method_of_one_s_own_trains(run, pairs, tiny_base, tmp_path):
    out = tmp_path / "out"
    run("own_method.py", tiny_base, pairs, out, "margin=2.0", "max_steps=4", "eval_every=2", *SHORT)
    losses = {
        step: values["loss/preference"]
        for (step, side), values in numbers(out).items()
        if side == "held_out"
    }
    last = max(losses)
    assert losses[last] < losses[0]
    for step, loss in losses.items():
        shown = [pair for pair in records(out, "pairs") if pair["step"] == step]
        margins = [pair["logps_chosen"] - pair["logps_rejected"] for pair in shown]
        assert loss == pytest.approx(fmean(max(0, 2.0 - margin) for margin in margins))


def test_the_readme_lists_every_script():
    listed = (EXAMPLES / "README.md").read_text()
    for script in EXAMPLES.glob("*.py"):
        assert f"`{script.name}`" in listed, script.name
        assert len(script.read_text().splitlines()) <= 120
