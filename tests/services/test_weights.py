"""The folders that weights lie in: merged once, and only where merging went well."""

from pathlib import Path

import pytest

from models import Checkpoint
from services import weights
from services.errors import Unavailable
from services.settings import get_settings
from services.verbs import VerbError


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
