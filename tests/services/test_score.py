"""What the sandbox of the verb `score` lets it read and write."""

import json
from pathlib import Path

from services.processes.reach import of_verb
from services.processes.verbs import LOADS_WEIGHTS


def test_score_reads_the_checkpoint_its_base_and_the_rows_and_writes_beside_them(
    tmp_path: Path,
) -> None:
    checkpoint = tmp_path / "g1" / "checkpoints" / "step-000002"
    base, rows, out = tmp_path / "base", tmp_path / "rows.jsonl", tmp_path / "out" / "scored.jsonl"
    for folder in (checkpoint, base, out.parent):
        folder.mkdir(parents=True)
    rows.touch()
    (tmp_path / "g1" / "spec.json").write_text(json.dumps({"base_model_path": str(base)}))
    reach = of_verb([str(checkpoint), str(rows), str(out)])
    assert set(reach.reads) == {checkpoint, rows, base}
    assert reach.writes == (out.parent,)
    assert "score" in LOADS_WEIGHTS, "it would have the memory of a verb without weights"
