"""The evaluation worker in front of a server that counts what it is asked."""

import time
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from datetime import timedelta
from pathlib import Path
from typing import Any

import pytest
from sqlalchemy import func, update
from sqlalchemy.orm import Session

from models import Answer, Evaluation, Job
from services.access.callers import Caller
from services.jobs import claims
from services.platform.database import transaction
from tests.services import evaluated
from tests.services.evaluated import ifeval, ifeval_rows, prompt_file
from tests.services.fake_openai import FakeOpenAI
from workers import asking
from workers import evaluations as worker
from workers.asking import Patience
from workers.holding import Hold

QUICK = Patience(attempts=3, first_s=0.01, longest_s=0.02, retry_after_s=2, in_a_row=4)


@dataclass
class World:
    """A caller with two deployed models, `tuned` and `base`, behind one server."""

    caller: Caller
    server: FakeOpenAI
    socket: Path
    holds: list[Hold]

    def run(self) -> None:
        """Claim evaluations and work on them, as the Celery task does, until none is left."""
        worker.evaluate()

    def create(self, rows: int = 4, **fields: Any) -> str:
        with transaction() as session:
            file = prompt_file(session, self.caller, ifeval_rows(rows))
            return ifeval(session, self.caller, file, **fields).id

    def job(self, evaluation_id: str) -> Job:
        with transaction() as session:
            return session.get_one(Job, evaluation_id)

    def evaluation(self, evaluation_id: str) -> Evaluation:
        with transaction() as session:
            return session.get_one(Evaluation, evaluation_id)

    def stored(self) -> int:
        """How many answers are stored."""
        with transaction() as session:
            return session.query(Answer).count()

    def fence(self) -> None:
        """Take the evaluation from its worker, and wait until the worker knows."""
        self.lose_lease()
        wait_for(lambda: self.holds[-1]._fenced is not None)

    def lose_lease(self) -> None:
        """As if the worker had stopped answering: the keeper takes its evaluation back."""
        with transaction() as session:
            gone = func.clock_timestamp() - timedelta(seconds=1)
            held = Job.state.in_(("claimed", "running", "finalizing"))
            session.execute(update(Job).where(held).values(lease_until=gone))
            claims.reap(session)


@pytest.fixture
def world(
    product: None, session: Session, caller: Caller, tmp_path: Path, settings_from: Any,
    monkeypatch: pytest.MonkeyPatch,
) -> Iterator[World]:  # fmt: skip
    settings_from(evals_at_once=1, heartbeat_s=0.05, retry_delay_s=0, max_attempts=3)
    monkeypatch.setattr(asking, "Patience", lambda: QUICK)
    holds: list[Hold] = []

    def hold(job: Job) -> Hold:
        holds.append(Hold(job))
        return holds[-1]

    monkeypatch.setattr(worker, "Hold", hold)
    socket = tmp_path / "engine.sock"
    for name in ("tuned", "base"):
        evaluated.deployed(session, caller, name, socket)
    session.commit()
    with FakeOpenAI().serving(socket) as server:
        yield World(caller, server, socket, holds)


def wait_for(condition: Callable[[], bool]) -> None:
    until = time.monotonic() + 20
    while not condition():
        assert time.monotonic() < until, "it did not happen"
        time.sleep(0.01)
