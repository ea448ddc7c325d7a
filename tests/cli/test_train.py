"""`oddsmith train`: refused arguments, and real runs that finish, stop and resume."""

import json
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from cli.commands.train import last_checkpoint, read_settings, sentence
from cli.commands.training import Training, line, prepare
from services.launchers.local import TrainingProcess
from services.processes.verbs import VerbError, environment
from tests.cli.conftest import Oddsmith


@pytest.fixture
def base(tmp_path: Path) -> Path:
    folder = tmp_path / "base"
    folder.mkdir()
    (folder / "config.json").write_text("{}")
    return folder


@pytest.fixture
def pairs(tmp_path: Path) -> Path:
    path = tmp_path / "pairs.jsonl"
    rows = [
        {"prompt": f"Say {n}.", "chosen": f"{n}, gladly.", "rejected": f"Why {n}?"}
        for n in range(12)
    ]
    path.write_text("".join(json.dumps(row) + "\n" for row in rows))
    return path


def test_settings_may_be_spelled_with_the_method(base: Path) -> None:
    method = read_settings("orpo", ["method.lambda=0.2", "n_epochs=3", "tuning=full"])
    assert (method.model_dump()["lambda"], method.n_epochs, method.tuning) == (0.2, 3, "full")


@pytest.mark.parametrize(
    ("arguments", "expected"),
    [
        (["--set", "method.lambda=-1"], "lambda must be 0 or more."),
        (["--set", "lamda=1"], "lamda"),
        (["--set", "lambda"], "takes name=value"),
        (["--method", "grpo"], "orpo, supervised, dpo"),
        (["--method", "ppo"], "reward_model is required."),
        (["--method", "ppo", "--set", "reward_model=x"], "x is no reward model"),
        (["--set", "nodes=2", "--set", "processes=2", "--set", "strategy=ddp"], "nodes = 2 needs"),
    ],
)
def test_wrong_settings_are_wrong_usage(
    base: Path, pairs: Path, tmp_path: Path, oddsmith: Oddsmith, arguments: list[str], expected: str
) -> None:
    where = ["--model", str(base), "--data", str(pairs), "--out", str(tmp_path / "out")]
    done = oddsmith("train", *where, *arguments)
    assert done.exit_code == 2
    assert expected in done.output


def test_rows_and_folders_are_looked_at_first(
    base: Path, pairs: Path, tmp_path: Path, oddsmith: Oddsmith
) -> None:
    out = tmp_path / "out"
    bad = tmp_path / "bad.jsonl"
    bad.write_text('{"prompt": "a", "chosen": "b", "rejected": "b"}\n')
    done = oddsmith("train", "--model", str(base), "--data", str(bad), "--out", str(out))
    assert done.exit_code == 1
    assert "no row to train on. Line 1:" in done.output
    done = oddsmith("train", "--model", str(tmp_path), "--data", str(pairs), "--out", str(out))
    assert "no config.json" in done.output
    (out / "g1").mkdir(parents=True)
    done = oddsmith("train", "--model", str(base), "--data", str(pairs), "--out", str(out))
    assert done.exit_code == 2
    assert "--resume" in done.output


def test_the_newest_whole_checkpoint_is_taken(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    for place in ("g1/checkpoints/step-000002", "g2/checkpoints/step-000004"):
        (tmp_path / place).mkdir(parents=True)
    (tmp_path / "g2/checkpoints/step-000006.tmp").mkdir()
    generations = [tmp_path / "g1", tmp_path / "g2"]
    assert last_checkpoint(generations) is None  # neither has a manifest
    monkeypatch.setattr("cli.commands.train.intact", lambda folder: "g1" in folder.parts)
    assert last_checkpoint(generations) == tmp_path / "g1/checkpoints/step-000002"


def test_steps_beyond_a_million_are_newer(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    for step in ("step-999999", "step-1000000"):
        (tmp_path / "g1/checkpoints" / step).mkdir(parents=True)
    monkeypatch.setattr("cli.commands.train.intact", lambda _: True)
    assert last_checkpoint([tmp_path / "g1"]) == tmp_path / "g1/checkpoints/step-1000000"


def test_a_zero_is_shown_and_a_missing_number_is_not() -> None:
    values = {"accuracy": 0.0, "logps/chosen": -1.5, "logps/rejected": None}
    assert line(values) == "chosen -1.500  accuracy 0.000"


@pytest.mark.parametrize(
    ("series", "name"), [("log_odds_ratio", "log odds ratio"), ("reward/margin", "reward margin")]
)
def test_the_end_tells_the_margin_that_the_method_has(series: str, name: str) -> None:
    first, last = ({"accuracy": accuracy, series: accuracy - 0.5} for accuracy in (0.5, 1.0))
    result = {"state": "finished", "step": 3, "checkpoint": "c", "held_out": {}}
    told = sentence({**result, "held_out": {"first": first, "last": last}})
    assert f"accuracy 0.50 -> 1.00, {name} 0.000 -> 0.500" in told


def test_pairs_are_tokenised_before_ranks_are_started(
    base: Path, pairs: Path, tmp_path: Path, oddsmith: Oddsmith, monkeypatch: pytest.MonkeyPatch
) -> None:
    def run_verb(verb: str, run_dir: str, *, meanwhile: Callable[[], None], **_: Any) -> Any:
        assert verb == "prepare"
        meanwhile()
        (Path(run_dir) / "progress.json").write_text('{"tokenised": 5, "pairs": 12}')
        meanwhile()
        error = {"code": "bad_data", "message": "None of 12 pairs fits.", "hint": "Raise it."}
        raise VerbError(error)

    monkeypatch.setattr("cli.commands.training.run_verb", run_verb)
    where = ["--model", str(base), "--data", str(pairs), "--out", str(tmp_path / "out")]
    done = oddsmith("train", *where, "--json")
    assert done.exit_code == 1
    assert "None of 12 pairs fits. Raise it." in done.output
    assert (tmp_path / "out/g1/spec.json").exists()
    assert not (tmp_path / "out/g1/train.log").exists()


def test_dropped_pairs_are_reported_with_the_reason(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    first = {"line": 3, "message": "The model's chat template refuses this row: No system."}
    train = {"dropped": {"template": 6}, "reasons": {"template": first}}
    found = {"train": train, "held_out": {"dropped": {}, "reasons": {}}}
    monkeypatch.setattr("cli.commands.training.run_verb", lambda *_, **__: found)
    prepare(tmp_path, quiet=True)
    printed = " ".join(capsys.readouterr().err.split())
    assert "Of the training pairs, 6 dropped (6 template; line 3: The model's" in printed
    assert "refuses this row: No system)." in printed
    assert "held-out" not in printed


# It writes unbuffered: a signal handler must not re-enter a buffered write.
RANK = """
import os, signal, sys
signal.signal(signal.SIGTERM, lambda *_: os.write(1, b"rank\\n") and sys.exit())
os.write(1, b"ready\\n")
signal.pause()
"""


def test_a_stop_reaches_the_process(tmp_path: Path) -> None:
    mark = str(tmp_path)
    env = environment(mark, {"LOCAL_RANK": "0"})
    with subprocess.Popen([sys.executable, "-c", RANK], stdout=subprocess.PIPE, env=env) as process:
        assert process.stdout is not None
        assert process.stdout.readline() == b"ready\n"
        Training(tmp_path, TrainingProcess(process, mark)).ask_to_stop()
        assert process.stdout.read() == b"rank\n"


@pytest.mark.slow
def test_a_run_and_its_resume(tmp_path: Path, pairs: Path, oddsmith: Oddsmith) -> None:
    tiny_run = pytest.importorskip("tests.orpo.tiny_run")
    base = tiny_run.write_base(tmp_path / "tiny")
    out = tmp_path / "out"
    where = ["--model", str(base), "--data", str(pairs), "--out", str(out), "--json"]
    settings = "max_steps=3 checkpoint_every=1 batch_size=2 n_samples=0 held_out_fraction=0.2"
    where += [part for setting in settings.split() for part in ("--set", setting)]
    done = oddsmith("train", *where)
    assert done.exit_code == 0, done.output
    result = json.loads(done.stdout)
    assert (result["state"], result["step"]) == ("finished", 3)
    assert Path(result["checkpoint"]) == out / "g1/checkpoints/step-000003"
    assert result["held_out"]["last"]["accuracy"] >= 0
    assert json.loads((out / "g1/prepared.json").read_text())["steps"] == 3
    content = out / "g1/checkpoints/step-000003/state/progress.json"
    content.write_text("{}")  # damaged: the run resumes from the one before
    done = oddsmith("train", *where, "--resume")
    assert done.exit_code == 0, done.output
    events = (out / "g2/events.jsonl").read_text().splitlines()
    assert json.loads(events[0])["data"]["first_step"] == 3
