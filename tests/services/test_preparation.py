"""A job's rows are split as `oddsmith train` splits them: prompt by prompt."""

import json
from pathlib import Path
from typing import Any

import pytest

from models import File
from orpo.methods import parse_method
from orpo.spec import RunSpec
from workers import preparation


def pair(line: int, prompt: str) -> dict[str, Any]:
    said = {side: f"{side} {line}" for side in ("chosen", "rejected")}
    answers = {s: [{"role": "assistant", "content": content}] for s, content in said.items()}
    return {"line": line, "prompt": [{"role": "user", "content": prompt}], **answers}


@pytest.fixture
def training(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> File:
    """A file of 60 rows, three to a prompt; the rows of one prompt are not adjacent."""
    rows = [pair(line, f"Say {line % 20}.") for line in range(60)]
    path = tmp_path / "rows.jsonl"
    path.write_text("".join(json.dumps(row) + "\n" for row in rows))
    monkeypatch.setattr(preparation.files, "open_rows", lambda _: path.open("rb"))
    return File(report={"accepted": len(rows)})


def test_the_rows_of_a_prompt_stay_on_one_side(training: File, tmp_path: Path) -> None:
    data = pytest.importorskip("orpo.data")
    method = parse_method("orpo", {"held_out_fraction": 0.2, "max_held_out": 10})
    folder = tmp_path / "data"
    preparation.write_rows(folder, training, None, method, seed=3)
    spec = RunSpec(
        job_id="job",
        base_model="tiny",
        base_model_path=tmp_path,
        train_path=tmp_path / "rows.jsonl",
        method=method,
        seed=3,
    )
    train, held_out = map(list, data.split(spec))
    assert list(data.Rows(folder / "train.jsonl")) == train
    assert list(data.Rows(folder / "held_out.jsonl")) == held_out
    assert (len(train), len(held_out)) == (51, 9)
    assert not {p.prompt[0]["content"] for p in train} & {p.prompt[0]["content"] for p in held_out}
