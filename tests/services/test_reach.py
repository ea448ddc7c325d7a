"""The paths that a verb's sandbox makes visible."""

import json
from pathlib import Path

from orpo.contract.methods import parse_method
from orpo.contract.spec import RunSpec, write_spec
from services.processes.reach import Reach, of_run, of_verb


def spec_of(folder: Path, base: Path) -> RunSpec:
    return RunSpec(
        job_id="job", base_model="base", base_model_path=base, method=parse_method("orpo", {}),
        train_path=folder / "data" / "train.jsonl", tokens_path=folder.parent / "tokens",
    )  # fmt: skip


def test_paths_that_are_there_are_read_and_others_written(tmp_path):
    target = tmp_path / "new" / "merged"
    reach = of_verb([str(tmp_path), str(target), "not-a-path"])
    assert reach == Reach((tmp_path,), (target.parent,))


def test_a_run_writes_itself_and_its_tokens_but_not_its_spec(tmp_path):
    run_dir, base = tmp_path / "job" / "g1", tmp_path / "base"
    spec = spec_of(tmp_path / "job", base)
    reach = of_verb([str(write_spec(spec, run_dir).parent)])
    assert reach.writes == (run_dir, tmp_path / "tokens")
    assert {base, run_dir / "spec.json", tmp_path / "job" / "data"} <= set(reach.reads)


def test_a_checkpoint_s_base_is_what_its_run_was_given_whatever_the_run_wrote(tmp_path):
    base = tmp_path / "base"
    run_dir = write_spec(spec_of(tmp_path / "job", base), tmp_path / "job" / "g1").parent
    checkpoint = run_dir / "checkpoints" / "step-000002"
    (checkpoint / "adapter").mkdir(parents=True)
    told = {"base_model_name_or_path": str(tmp_path / "secrets")}
    (checkpoint / "adapter" / "adapter_config.json").write_text(json.dumps(told))
    assert of_verb([str(checkpoint)]).reads == (checkpoint, base)


def test_a_hub_cache_s_snapshot_is_read_with_its_blobs(tmp_path):
    snapshot = tmp_path / "models--a" / "snapshots" / "abc"
    snapshot.mkdir(parents=True)
    assert of_verb([str(snapshot)]).reads == (snapshot, tmp_path / "models--a" / "blobs")


def test_a_link_in_the_place_of_the_note_of_tokens_opens_nothing(tmp_path: Path) -> None:
    rows = tmp_path / "data" / "train.jsonl"
    rows.parent.mkdir()
    rows.touch()
    spec = RunSpec(
        job_id="j", base_model="b", base_model_path=tmp_path / "base", train_path=rows,
        tokens_path=tmp_path / "tokens", method=parse_method("orpo", {}),
    )  # fmt: skip
    (secret := tmp_path / "secret").touch()
    note = rows.with_name("tokens.txt")
    note.touch()
    assert note in of_run(spec, tmp_path / "g1").writes
    note.unlink()
    note.symlink_to(secret)
    assert not {note, secret} & {*of_run(spec, tmp_path / "g1").writes}
