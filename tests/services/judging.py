"""A worker with a judge: servers that count what they are asked, and a caller with two models."""

import json
import re
from collections.abc import Callable, Iterator
from contextlib import ExitStack
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import pytest
from sqlalchemy import select
from sqlalchemy.orm import Session

from models import Evaluation, Job, JobEvent
from models.jobs import JobState
from services.access.callers import Caller
from services.evaluations import evaluations, judges
from services.evaluations.evaluations import NewEvaluation
from services.evaluations.judges import Kind, NewJudge
from services.platform.database import transaction
from services.processes.verbs import VerbError
from tests.services import evaluated
from tests.services.evaluated import prompt_file
from tests.services.fake_openai import Body, FakeOpenAI, Reply, prompt_of
from workers import asking, rewarding
from workers import evaluations as worker
from workers.asking import Patience

QUICK = Patience(attempts=2, first_s=0.01, longest_s=0.02, retry_after_s=2, in_a_row=4)


KEY = "sk-judge-4e1b"


SHOWN = re.compile(r"# Answer A\n(.*)\n\n# Answer B\n(.*)\n")


Answers = Callable[[str, str], str]


def shown(body: Body) -> tuple[str, str]:
    """The answers that a judge sees, in their order."""
    found = SHOWN.search(prompt_of(body))
    assert found, prompt_of(body)
    return found[1], found[2]


def fair(first: str, second: str) -> str:
    """The verdict of a judge that prefers the tuned model for prompts below 3, else its base."""
    number = int(re.findall(r"\d+", first)[-1])
    better = "tuned" if number < 3 else "base"
    return "[[A]]" if better in first else "[[B]]"


@dataclass
class World:
    """A caller with two deployed models, and a judge at an endpoint."""

    caller: Caller
    models: FakeOpenAI
    judge: FakeOpenAI
    judge_id: str = ""
    files: dict[int, str] = field(default_factory=dict)

    def judging(self, verdict: Answers) -> None:
        """Have the judge answer so."""
        self.judge.reply = lambda _, body: Reply(verdict(*shown(body)))

    def add(self, **changes: Any) -> str:
        request = {"kind": Kind.OPENAI, "model": "j", "base_url": self.judge.url, "secret": "judge"}
        with transaction() as session:
            return judges.create(session, self.caller, NewJudge(**(request | changes))).id

    def create(self, rows: int = 4, **fields: Any) -> str:
        asked: dict[str, Any] = {"suite": "custom", "baseline": "base", "judge": self.judge_id}
        with transaction() as session:
            if rows not in self.files:
                prompts = [{"turns": [f"Prompt {number}"]} for number in range(rows)]
                self.files[rows] = prompt_file(session, self.caller, prompts).id
            asked |= {"model": "tuned", "data": self.files[rows], **fields}
            return evaluations.create(session, self.caller, NewEvaluation(**asked)).id

    def run(self, evaluation_id: str) -> tuple[Job, Evaluation]:
        """Work as the Celery task does, until nothing is left."""
        worker.evaluate()
        with transaction() as session:
            return session.get_one(Job, evaluation_id), session.get_one(Evaluation, evaluation_id)

    def warnings(self, evaluation_id: str) -> list[str]:
        of_it = (JobEvent.job_id == evaluation_id, JobEvent.level == "warn")
        with transaction() as session:
            return list(session.scalars(select(JobEvent.message).where(*of_it)))


@pytest.fixture
def world(
    product: None, session: Session, caller: Caller, tmp_path: Path, settings_from: Any,
    monkeypatch: pytest.MonkeyPatch,
) -> Iterator[World]:  # fmt: skip
    monkeypatch.setattr(asking, "Patience", lambda: QUICK)
    socket = tmp_path / "engine.sock"
    for name in ("tuned", "base"):
        evaluated.deployed(session, caller, name, socket)
    session.commit()
    with ExitStack() as stack:
        models = stack.enter_context(FakeOpenAI().serving(socket))
        judge = stack.enter_context(FakeOpenAI().serving())
        secret = {"base_url": judge.url, "key": KEY, "orgs": [caller.org_id]}
        settings_from(
            evals_at_once=1, heartbeat_s=0.05, retry_delay_s=0, egress_allow="127.0.0.1",
            endpoint_secrets=json.dumps({"judge": secret}),
        )  # fmt: skip
        made = World(caller, models, judge)
        made.judging(fair)
        made.judge_id = made.add()
        yield made


def failed(job: Job) -> str:
    """The error of a job that has failed, with its advice."""
    assert job.state == JobState.FAILED
    assert job.error is not None
    return f"{job.error['message']} {job.error.get('hint') or ''}"


@dataclass
class Scorer:
    """Stands for `python -m orpo.score`: the reward is the length of the answer, -1 for `base`."""

    scored: list[str] = field(default_factory=list)
    error: dict[str, Any] | None = None

    def __call__(self, verb: str, folder: str, rows: str, out: str, **_: Any) -> dict[str, Any]:
        assert verb == "score"
        if self.error:
            raise VerbError(self.error)
        lines = []
        for line in map(json.loads, Path(rows).read_text().splitlines()):
            texts = [answer["content"] for answer in line["answers"]]
            self.scored += texts
            rewards = [
                None if "Prompt 5" in text else -1.0 if "base" in text else 2.0 for text in texts
            ]
            problems = [{"message": "Too long."} if r is None else None for r in rewards]
            lines.append(json.dumps({"rewards": rewards, "problems": problems}))
        Path(out).write_text("\n".join(lines) + "\n")
        return {}


@pytest.fixture
def scorer(monkeypatch: pytest.MonkeyPatch) -> Scorer:
    scorer = Scorer()
    monkeypatch.setattr(rewarding, "run_verb", scorer)
    monkeypatch.setattr(rewarding, "time_for", lambda *_: 1.0)
    return scorer


@pytest.fixture
def reward(world: World) -> str:
    """A judge that is a trained reward model."""
    with transaction() as session:
        model = evaluated.reward_model(session, world.caller)
    return world.add(kind=Kind.REWARD, model=model, base_url=None, secret=None)
