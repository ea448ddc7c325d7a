"""A job's rows are split as by `oddsmith train`, and the progress can be read."""

import json
from pathlib import Path
from typing import Any

import pytest

from models import File, Job
from models.jobs import JobState
from orpo.contract.methods import parse_method
from orpo.contract.spec import RunSpec
from services.platform import storage
from services.processes.verbs import VerbError
from services.runs import job_events
from tests import records
from workers import preparations
from workers.spec import spec_of

PREPARED = {"train": {"pairs": 7, "tokens": 70, "dropped": {}}, "steps": 3}


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
    monkeypatch.setattr(preparations.files, "open_rows", lambda _: path.open("rb"))
    return File(report={"accepted": len(rows)})


def test_the_rows_of_a_prompt_stay_on_one_side(training: File, tmp_path: Path) -> None:
    data = pytest.importorskip("orpo.tokens.data")
    method = parse_method("orpo", {"held_out_fraction": 0.2, "max_held_out": 10})
    folder = tmp_path / "data"
    preparations.write_rows(folder, training, None, method, seed=3)
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


def test_a_validation_file_is_drawn_from_alike(training: File, tmp_path: Path) -> None:
    """`oddsmith train --held-out FILE` measures the pairs that a job with that file measures."""
    data = pytest.importorskip("orpo.tokens.data")
    method = parse_method("orpo", {"max_held_out": 10})
    preparations.write_rows(tmp_path / "data", training, training, method, seed=3)
    rows = tmp_path / "rows.jsonl"
    spec = RunSpec(
        job_id="job",
        base_model="tiny",
        base_model_path=tmp_path,
        train_path=rows,
        held_out_path=rows,
        method=method,
        seed=3,
    )
    _, held_out = data.split(spec)
    assert list(held_out) == list(data.Rows(tmp_path / "data" / "held_out.jsonl"))
    assert len(list(held_out)) == 10


def test_the_job_tells_how_many_pairs_are_tokenised_until_they_are(
    product, session, caller, monkeypatch
):
    job = records.job(session, caller, progress={"retry": {"reason": "It broke."}})
    session.commit()
    with storage.writing("x.rows") as rows:
        rows.writelines(b"%s\n" % json.dumps({"prompt": [n]}).encode() for n in range(8))
    told = []

    def run_verb(verb, folder, *, timeout_s, meanwhile):
        meanwhile()
        for tokenised in (3, 6):
            (Path(folder) / "progress.json").write_text(f'{{"tokenised": {tokenised}, "pairs": 8}}')
            meanwhile()
            session.refresh(job)
            told.append(job.progress)
        return PREPARED

    monkeypatch.setattr(preparations, "run_verb", run_verb)
    preparations.prepare(job.id)
    assert [progress["preparing"]["tokenised"] for progress in told] == [3, 6]
    assert all(progress["retry"] for progress in told)
    session.refresh(job)
    assert (job.state, job.progress) == (JobState.QUEUED, None)


def test_a_job_says_which_held_out_prompts_are_trained_on(product, session, caller, monkeypatch):
    training, validation = (
        records.file(session, caller, accepted=4, rows_key=f"{name}.rows").id
        for name in ("training", "validation")
    )
    job = records.job(session, caller, training_file=training, validation_file=validation)
    session.commit()
    long = "Which of the ships in the old harbour carried the lanterns to the island in the winter?"
    prompts = {
        "training": ["Say 1.", "Say 2.", long, "Say 4."],
        "validation": ["say  2.", "Say 5.", long.replace("Which", "What"), "Say 6."],
    }
    for name, some in prompts.items():
        with storage.writing(f"{name}.rows") as rows:
            rows.writelines(
                b"%s\n" % json.dumps(pair(n, p)).encode() for n, p in enumerate(some, start=1)
            )
    monkeypatch.setattr(preparations, "run_verb", lambda *_, **__: dict(PREPARED))
    preparations.prepare(job.id)
    session.refresh(job)
    assert (job.prepared or {})["overlap"] == {"rows": 4, "same": 1, "near": 1, "lines": [1, 3]}
    newest = job_events.list_events(session, job, after=None, limit=10)
    (event,) = [each for each in newest if each.level == "warn"]
    assert event.message.startswith(
        "Prompts of held-out rows that are also trained on: 1 of 4; nearly the same: 1 (lines 1, 3 "
        "of the validation file)."
    )
    assert f"overlap {validation} --against {training}" in event.message


def test_a_job_whose_held_out_prompts_can_t_be_compared_is_prepared(monkeypatch, tmp_path):
    (tmp_path / "train.jsonl").touch()

    def run(*_, **__):
        raise VerbError({"code": "timeout", "message": "It did not end."})

    monkeypatch.setattr(preparations.overlaps, "run", run)
    assert preparations.overlap(tmp_path) is None
    assert preparations._overlap(Job(), None) == ""
    nothing = {"rows": 4, "same": 0, "near": 0, "lines": []}
    assert preparations._overlap(Job(), nothing) == ""


def test_a_job_that_was_cancelled_meanwhile_is_left_as_it_is(product, session, caller, tmp_path):
    job = records.job(session, caller)
    job.state = JobState.CANCELLED
    session.commit()
    (tmp_path / "progress.json").write_text('{"tokenised": 1, "pairs": 8}')
    with pytest.raises(preparations.NoLongerWantedError):
        preparations.Watch(job.id, tmp_path).look()
    session.refresh(job)
    assert job.progress is None


def test_a_run_is_given_the_hashes_that_its_base_was_registered_with(product, session, caller):
    files = {"model.safetensors": {"sha256": "b" * 64, "stamp": [1, 2, 3, 4]}}
    base = records.base_model(session, caller, info={"sha256": "a" * 64, "files": files})
    spec = spec_of(session, records.job(session, caller, base_model=base.id))
    assert (spec.base_sha256, spec.base_files) == ("a" * 64, files)


def test_the_job_says_why_pairs_were_dropped_with_the_first_line_of_each_reason():
    reasons = {
        "template": {"line": 3, "message": "The model's chat template refuses this row: No."},
        "identical": {"line": 9, "message": "Both answers have the same tokens."},
    }
    train = {"pairs": 5, "tokens": 80, "dropped": {"template": 6, "identical": 1}}
    said = preparations._summary({"train": train | {"reasons": reasons}, "steps": 2})
    assert said == (
        "5 pairs, 80 tokens an epoch, 2 steps; 7 dropped (1 identical, 6 template; line 3: The "
        "model's chat template refuses this row: No; line 9: Both answers have the same tokens)."
    )
    held_out = {"dropped": {"template": 1}, "reasons": {"template": reasons["template"]}}
    found = {"train": train | {"dropped": {}}, "held_out": held_out, "steps": 2}
    said = preparations._summary(found)
    assert "; none dropped. Of the held-out pairs, 1 dropped (1 template; line 3: The " in said
