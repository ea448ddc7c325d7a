"""Merged weights: made once per checkpoint, and kept only after a success."""

from pathlib import Path

import pytest

from models import Checkpoint
from services.platform.errors import Invalid, Unavailable
from services.platform.settings import get_settings
from services.processes.verbs import VerbError
from services.serving import weights


def test_weights_are_merged_once(settings_from, tmp_path, monkeypatch):
    settings_from(var=tmp_path)
    checkpoint = Checkpoint(id="ftckpt-1", path="job/g1/checkpoints/step-1", kind="adapter")
    (get_settings().runs_dir / checkpoint.path).mkdir(parents=True)
    calls = []

    def run_verb(verb, source, target):
        calls.append(source)
        if len(calls) == 1:
            raise VerbError({"message": "No space is left."})
        Path(target).mkdir()

    monkeypatch.setattr(weights, "run_verb", run_verb)
    with pytest.raises(Unavailable, match="could not be merged: No space is left"):
        weights.merged(checkpoint)
    assert weights.merged(checkpoint) == weights.merged(checkpoint) == tmp_path / "merged/ftckpt-1"
    assert len(calls) == 2


def test_a_gguf_file_is_written_once_and_what_it_cannot_hold_is_the_callers_affair(
    settings_from, tmp_path, monkeypatch
):
    settings_from(var=tmp_path)
    checkpoint = Checkpoint(id="ftckpt-1", path="job/g1/checkpoints/step-1", kind="full")
    (get_settings().runs_dir / checkpoint.path).mkdir(parents=True)
    failures = [
        {"code": "not_exportable", "message": "Models of type gpt2 can't be written."},
        {"code": "no_parity", "message": "It does not answer as it was trained."},
    ]
    calls = []

    def run_verb(verb, source, target):
        calls.append((verb, source))
        if failures:
            raise VerbError(failures.pop(0))
        Path(target).write_bytes(b"GGUF")

    monkeypatch.setattr(weights, "run_verb", run_verb)
    with pytest.raises(Invalid, match=r"gpt2 can't be written. Ask for `format=merged`") as refused:
        weights.gguf(checkpoint)
    assert refused.value.param == "format"
    with pytest.raises(Unavailable, match="written as GGUF: It does not answer"):
        weights.gguf(checkpoint)
    for _ in range(2):
        assert weights.find(checkpoint, weights.Format.GGUF) == tmp_path / "merged/ftckpt-1.gguf"
    assert calls == [("gguf", str(get_settings().runs_dir / checkpoint.path))] * 3
