"""Jobs with mirrors, for tests: what a worker writes of a run, and the passes that follow."""

import socket
from collections.abc import Iterator
from datetime import timedelta
from typing import Any

import pytest
from sqlalchemy import func, update

from models import Mirror
from models.jobs import JobState
from models.mirrors import MirrorStatus
from services.access.callers import OPERATOR, Caller
from services.files import seed
from services.jobs import claims, integrations
from services.platform.database import transaction
from services.runs import metrics
from tests import records
from workers import mirrors as worker

OWNER = Caller(OPERATOR, None, records.SCOPES)
BEGAN = 1_700_000_000
TENSORBOARD = {"type": "tensorboard"}
MLFLOW = {"type": "mlflow", "mlflow": {"experiment": "ours", "name": "first"}}
WANDB = {"type": "wandb", "wandb": {"project": "p", "entity": "e", "tags": ["a"]}}


@pytest.fixture
def organization(product: None) -> None:
    with transaction() as session:
        seed.organization(session)


@pytest.fixture
def calls_nobody(monkeypatch: pytest.MonkeyPatch) -> Iterator[None]:
    """No tracker's package calls its maker, as MLflow and W&B do by default: nothing leaves this
    machine.
    """
    with socket.create_server(("127.0.0.1", 0)) as proxy:
        for name in ("http_proxy", "https_proxy"):
            for spelled in (name, name.upper()):
                monkeypatch.setenv(spelled, f"http://127.0.0.1:{proxy.getsockname()[1]}")
        monkeypatch.setenv("no_proxy", "127.0.0.1")
        monkeypatch.setenv("NO_PROXY", "127.0.0.1")
        yield
        proxy.setblocking(False)
        with pytest.raises(BlockingIOError):
            proxy.accept()


def running(*wanted: dict[str, Any], owner: Caller = OWNER) -> str:
    """A job that a worker holds, with these integrations."""
    with transaction() as session:
        metadata = {"team": "red", "model": "mine", "../what?": "odd"}
        job = records.job(session, owner, JobState.QUEUED, metadata_=metadata)
        integrations.add(session, job.id, wanted)
        job.generation = 1
        job.lease_until = func.clock_timestamp() + timedelta(minutes=5)
        for state in (JobState.CLAIMED, JobState.RUNNING):
            job.state = state
            session.flush()
        return job.id


def train(job_id: str, first: int, last: int) -> None:
    """Write the numbers of some steps, as a worker does, and a sample of the last one."""
    lines = [
        {"step": n, "t": BEGAN + n, "split": split, "values": {"loss": n / 4, "gap": None}}
        for n in range(first, last + 1)
        for split in ("train", "held_out")[: 1 + (n == last)]
    ]
    prompt = [{"role": "user", "content": "Why?"}]
    sample = {"step": last, "line": 7, "prompt": prompt, "answer": "So.", "chosen": "c"}
    with transaction() as session:
        metrics.write(session, job_id, 1, lines)
        metrics.write_samples(session, job_id, 1, [sample | {"rejected": "r"}])


def end(job_id: str) -> None:
    with transaction() as session:
        claims.finalize(session, job_id, 1)
        claims.succeed(session, job_id, 1, model=f"ft:{job_id}", result_files=[])


def run_due() -> None:
    """Let every mirror that has not ended do its next passes now."""
    with transaction() as session:
        not_ended = update(Mirror).where(Mirror.next_at.is_not(None))
        session.execute(not_ended.values(next_at=func.clock_timestamp()))
    while worker.mirror_next():
        pass


def run_again(job_id: str, position: dict[str, Any]) -> None:
    """Do the passes after `position` again, as if the worker had been killed before it stored what
    came of them.
    """
    with transaction() as session:
        mirror = session.get_one(Mirror, (job_id, 0))
        mirror.position, mirror.status = position, MirrorStatus.MIRRORING
        mirror.next_at = func.clock_timestamp()
    run_due()


def state(job_id: str, place: int = 0) -> Mirror:
    with transaction() as session:
        return session.get_one(Mirror, (job_id, place))
