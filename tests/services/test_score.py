"""Reward models in the sandbox: the verb `score`, which sees the checkpoint, its base and the rows,
and merged weights.
"""

import json
from pathlib import Path

import pytest

from models import Checkpoint
from services.platform.settings import get_settings
from services.processes.verbs import run_verb
from services.serving import weights
from tests.orpo.tiny_run import Bench, checkpoint, write_base, write_pairs


@pytest.mark.slow
def test_a_reward_model_scores_and_is_merged_in_the_sandbox(settings_from, tmp_path: Path) -> None:
    settings_from(var=tmp_path / "var")
    pairs = write_pairs(tmp_path / "pairs.jsonl", 20)
    bench = Bench(tmp_path / "runs", write_base(tmp_path / "base"), pairs)
    saved = checkpoint(bench.run("run", type="reward", max_steps=2), 2)
    rows, out = tmp_path / "rows.jsonl", tmp_path / "out" / "scored.jsonl"
    out.parent.mkdir()
    rows.write_text(json.dumps({"prompt": "which lamp?", "answers": ["oak.", "river!"]}) + "\n")
    said = run_verb("score", str(saved), str(rows), str(out))
    assert (said["rows"], said["scored"]) == (1, 2)
    (scored,) = map(json.loads, out.read_text().splitlines())
    assert len(set(scored["rewards"])) == 2

    record = Checkpoint(id="ftckpt-1", path="job/g1/checkpoints/step-000002", kind="adapter")
    record.model = "ft:base:default::judge"
    place = get_settings().runs_dir / "job" / "g1"
    place.parent.mkdir(parents=True)
    saved.parents[1].rename(place)
    merged = weights.find(record, weights.Format.MERGED)
    config = json.loads((merged / "config.json").read_text())
    assert config["architectures"] == ["LlamaForSequenceClassification"]
    with pytest.raises(weights.Invalid, match="writes no text"):
        weights.find(record, weights.Format.GGUF)
