"""A worker with a core that counts what it measures: a tuned model, its base, and 40 pairs."""

import json
from collections.abc import Callable
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import pytest
from sqlalchemy.orm import Session

from models import Checkpoint, Evaluation, Job
from models.base import new_id
from models.jobs import JobState
from orpo.contract.likelihoods import LIKELIHOODS
from orpo.contract.methods import parse_method
from orpo.contract.spec import read_spec
from services.access.callers import Caller
from services.evaluations import evaluations
from services.evaluations.evaluations import NewEvaluation
from services.jobs import claims
from services.platform import storage
from services.platform.database import transaction
from services.platform.settings import get_settings
from services.processes.verbs import VerbError
from tests import records
from tests.orpo.tiny_run import write_pairs
from tests.services import gated
from workers import evaluations as worker
from workers import likelihoods
from workers.holding import Hold

PROBLEM = {"code": "prompt_too_long", "message": "The prompt leaves no room for an answer."}


def pair_file(session: Session, owner: Caller, rows: Path) -> str:
    """A validated file of these pairs in their normal form."""
    key, count = new_id("rows"), len(rows.read_bytes().splitlines())
    with storage.writing(key) as sink:
        sink.write(rows.read_bytes())
    return records.file(session, owner, accepted=count, rows_key=key, sha256="of pairs").id


def tuned(session: Session, owner: Caller, base: str, **fields: Any) -> str:
    """A model that a job has left: its name is that of its only checkpoint."""
    method = parse_method("orpo", fields.pop("method", {})).model_dump(mode="json")
    made = records.job(session, owner, JobState.QUEUED, base_model=base, method=method)
    gated.hold(session, made)
    values = {"kind": "adapter", "sha256": "of tuned", "size_bytes": 1, "metrics": {}, "step": 1}
    values |= {"path": f"{made.id}/g1/checkpoints/step-000001", **fields}
    name = f"ft:{made.id}:ckpt-step-1"
    session.add(Checkpoint(id=new_id("ftckpt"), job_id=made.id, generation=1, model=name, **values))
    made.state = JobState.FINALIZING
    session.flush()
    claims.succeed(session, made.id, made.generation, model=f"ft:{made.id}", result_files=[])
    folder = get_settings().runs_dir / values["path"]
    folder.mkdir(parents=True, exist_ok=True)
    return name


@dataclass
class Core:
    """Stands for `python -m orpo.likelihoods`: of the tuned model, chosen answers of even lines are
    likelier than under the base. Line 3 can't be measured.
    """

    measured: list[tuple[str, int]] = field(default_factory=list)
    error: dict[str, Any] | None = None
    before_each: Callable[[], None] = lambda: None

    def __call__(
        self, verb: str, run_dir: str, *, meanwhile: Callable[[], None], **_: Any
    ) -> dict[str, Any]:
        assert verb == "likelihoods"
        if self.error:
            raise VerbError(self.error)
        spec = read_spec(Path(run_dir))
        name = "tuned" if spec.resume_from else spec.base_model
        with Path(run_dir, LIKELIHOODS).open("a") as out:
            for row in map(json.loads, spec.train_path.read_text().splitlines()):
                self.before_each()
                meanwhile()
                line = row["line"]
                self.measured.append((name, line))
                gain = 0.0 if not spec.resume_from else 0.4 if line % 2 == 0 else -0.2
                found = {"line": line, "chosen": -1.0 + gain, "rejected": -1.1, "problem": None}
                if line == 3:
                    found |= {"chosen": None, "rejected": None, "problem": PROBLEM}
                out.write(f"{json.dumps(found)}\n")
                out.flush()
                meanwhile()
        return {}


@dataclass
class World:
    caller: Caller
    core: Core
    base: str
    tuned: str
    data: str
    holds: list[Hold]

    def create(self, **fields: Any) -> str:
        asked = {"model": self.tuned, "suite": "held_out", "data": self.data, **fields}
        with transaction() as session:
            return evaluations.create(session, self.caller, NewEvaluation(**asked)).id

    def run(self, **fields: Any) -> tuple[Job, Evaluation]:
        evaluation_id = self.create(**fields)
        worker.evaluate()
        return self.look(evaluation_id)

    def look(self, evaluation_id: str) -> tuple[Job, Evaluation]:
        with transaction() as session:
            return session.get_one(Job, evaluation_id), session.get_one(Evaluation, evaluation_id)


@pytest.fixture
def world(
    product: None, session: Session, caller: Caller, tmp_path: Path, settings_from: Any,
    monkeypatch: pytest.MonkeyPatch,
) -> World:  # fmt: skip
    settings_from(heartbeat_s=0.05, retry_delay_s=0, max_attempts=3)
    core, holds = Core(), list[Hold]()
    monkeypatch.setattr(likelihoods, "run_verb", core)

    def hold(job: Job) -> Hold:
        holds.append(Hold(job))
        return holds[-1]

    monkeypatch.setattr(worker, "Hold", hold)
    path = tmp_path / "base"
    path.mkdir()
    base = records.base_model(session, caller, path=str(path), info={"sha256": "of base"}).id
    name = tuned(session, caller, base, method={"max_length": 77, "reasoning": "strip"})
    data = pair_file(session, caller, write_pairs(tmp_path / "pairs.jsonl", 40))
    session.commit()
    return World(caller, core, base, name, data, holds)
