"""A base model is trained only if it is as registered; its faults are not retried."""

import json
import shutil
import time
from pathlib import Path
from typing import Any

import pytest

from orpo.base import files as base_files
from orpo.contract.failures import Failure
from orpo.model import merge
from orpo.run import train
from orpo.tokens import prepare
from tests.orpo import hostile
from tests.orpo.tiny_run import Bench, checkpoint, records


@pytest.fixture
def base(bench: Bench, tmp_path: Path) -> Path:
    return Path(shutil.copytree(bench.base, tmp_path / "base"))


def registered(folder: Path) -> dict[str, Any]:
    """The facts that a registration stores, once all files are old enough to trust their times."""
    newest = max(path.stat().st_ctime_ns for path in folder.iterdir())
    while time.time_ns() - newest <= base_files.TICK_NS:
        time.sleep(0.001)
    return base_files.facts(folder)


def spec_of(bench: Bench, base: Path, facts: dict[str, Any], **settings: Any) -> Path:
    run = bench.spec("run", base=base, **settings)
    spec = json.loads((run / "spec.json").read_text())
    spec |= {"base_sha256": facts["sha256"], "base_files": facts.get("files")}
    (run / "spec.json").write_text(json.dumps(spec))
    return run


def change_weights(folder: Path) -> None:
    """Negate the weights: another model of the same shapes and file size."""
    hostile.weights(folder, lambda tensors: {name: -t for name, t in tensors.items()})


def failure_of(run: Path) -> dict[str, Any]:
    assert not records(run, "metrics")
    return next(e["data"] for e in records(run, "events") if e["type"] == "error")


@pytest.mark.parametrize("knows_files", [True, False], ids=["files noted", "digest alone"])
def test_weights_that_changed_since_are_not_trained(
    bench: Bench, base: Path, knows_files: bool
) -> None:
    facts = registered(base)
    if not knows_files:
        del facts["files"]
    run = spec_of(bench, base, facts, max_steps=1)
    assert train.main(run) == 0
    change_weights(base)
    run = spec_of(bench, base, facts, max_steps=1, resume_from=None)
    shutil.rmtree(run / "checkpoints")
    for name in ("metrics", "events"):
        (run / f"{name}.jsonl").unlink()
    assert train.main(run) == 2
    assert failure_of(run)["code"] == "base_changed"


def test_files_with_the_same_stamp_are_not_read_again(
    base: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    facts = registered(base)
    monkeypatch.setattr(base_files, "open_regular", lambda path: pytest.fail(f"{path} was read"))
    with base_files.unchanged(base, facts["sha256"], facts["files"]):
        pass


def test_the_same_bytes_written_again_are_the_same_model(base: Path) -> None:
    facts = registered(base)
    for path in base.iterdir():
        path.write_bytes(path.read_bytes())
    with base_files.unchanged(base, facts["sha256"], facts["files"]):
        pass


@pytest.mark.parametrize("name", ["adapter_config.json", "chat_template.jinja", "tokenizer.json"])
def test_a_file_beside_the_weights_counts(base: Path, name: str) -> None:
    facts = registered(base)
    (base / name).write_text("{}")
    changed = base_files.unchanged(base, facts["sha256"], facts["files"])
    with pytest.raises(Failure, match=name) as refused, changed:
        pass
    assert refused.value.code == "base_changed"


def test_files_that_change_while_they_are_loaded_are_noticed(base: Path) -> None:
    facts = registered(base)
    changed = base_files.unchanged(base, facts["sha256"], facts["files"])
    with pytest.raises(Failure, match="while it was loaded"), changed:
        change_weights(base)


def test_an_adapter_is_not_merged_into_other_weights(
    bench: Bench, base: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    run = spec_of(bench, base, registered(base), max_steps=1)
    assert train.main(run) == 0
    saved = checkpoint(run, 1)
    assert merge.main(saved, bench.folder / "merged") == 0
    change_weights(base)
    assert merge.main(saved, bench.folder / "again") == 2
    said = json.loads(capsys.readouterr().out.splitlines()[-1])
    assert said["error"]["code"] == "base_changed"


def test_a_tokenizer_that_breaks_off_is_the_models_fault(
    bench: Bench, base: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    """onig gives up and panics in Rust: the error is no Exception and can't be pickled."""
    hostile.splitting("(a+)+$")(base)
    row = json.loads(bench.train_path.read_text().splitlines()[0])
    row["prompt"][0]["content"] = "a" * 100 + "!"
    bench.train_path.write_text(json.dumps(row) + "\n")
    run = bench.spec("run", base=base)
    assert prepare.main(run) == 2
    assert json.loads(capsys.readouterr().out.splitlines()[-1])["error"]["code"] == "bad_model"
    assert train.main(run) == 2
    assert failure_of(run)["code"] == "bad_model"


@pytest.mark.parametrize(
    "change",
    [hostile.config(num_attention_heads="many"), hostile.config(hidden_size=10**30)],
    ids=["words for numbers", "a number out of range"],
)
def test_a_configuration_out_of_range_is_the_models_fault(
    bench: Bench, base: Path, change: hostile.Change
) -> None:
    change(base)
    run = bench.spec("run", base=base)
    assert train.main(run) == 2
    failure = failure_of(run)
    assert failure["code"] == "bad_model"
    assert failure["hint"]
