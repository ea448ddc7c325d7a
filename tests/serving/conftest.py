"""A product whose engines are `fake_vllm.py`: real processes, fake answers."""

import json
import stat
import sys
import time
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pytest
from sqlalchemy import select

from models import Checkpoint, Deployment, Engine, Job
from models.base import new_id
from models.deployments import DeploymentStatus
from orpo.contract import manifest
from services.access.callers import Caller
from services.files import seed
from services.platform import database
from services.platform.database import transaction
from services.processes import process_tree
from services.serving import deployments, engine_folders, engines
from tests import records
from tests.conftest import forget_connections
from tests.serving import fake_vllm
from workers import deployments as worker
from workers import parity, vllm
from workers.engine_client import EngineClient

CALLER = Caller(seed.ORG_ID, None, records.SCOPES)
BASE = fake_vllm.BASE_LOGPROB
MESSAGES = [{"role": "user", "content": "?"}]


def probe(logprob: float, hostile: Any = None, **changes: Any) -> dict[str, Any]:
    prompt = {
        "messages": MESSAGES,
        "prompt_token_ids": fake_vllm.TOKENS,
        "completion_token_ids": [8, 9],
        "logprobs": [logprob, logprob],
        "base_logprobs": [BASE] * 2,
    }
    prompts = [prompt | changes]
    return {"prompts": prompts, "hostile": hostile, "weights_sha256": "of-the-base"}


@dataclass
class Serving:
    """The serve worker and its folders of models and runs."""

    folder: Path

    def base(self, name: str = "base", template: str | None = None, **behaviour: Any) -> str:
        weights = self.folder / name
        weights.mkdir()
        (weights / "behaviour.json").write_text(json.dumps(behaviour))
        if template is not None:
            (weights / "chat_template.jinja").write_text(template)
        with transaction() as session:
            info = {"special_tokens": ["<|im_end|>"]}
            return records.base_model(session, CALLER, id=name, path=str(weights), info=info).id

    def tuned(self, base: str, logprob: float = -0.5, rank: int = 16, **probed: Any) -> str:
        """A checkpoint of a failed job (the simplest to make), served at `logprob`."""
        with transaction() as session:
            job = records.job(session, CALLER, base_model=base)
            job.state = "failed"
            path = f"{job.id}/g1/checkpoints/step-000002"
            self._write_checkpoint(self.folder / "runs" / path, logprob, rank, probed)
            return add_checkpoint(session, job, path, "adapter")

    def unmerged(self, base: str) -> str:
        """A checkpoint that must be served merged; merged, it answers like the base."""
        with transaction() as session:
            job = records.job(session, CALLER, base_model=base)
            job.state = "failed"
            path = f"{job.id}/g1/checkpoints/step-000002"
            self._write_checkpoint(self.folder / "runs" / path, BASE, 1, {})
            return add_checkpoint(session, job, path, "merged")

    def full(self, base: str, **behaviour: Any) -> str:
        """A checkpoint of full tuning, with its own weights."""
        with transaction() as session:
            job = records.job(session, CALLER, base_model=base)
            job.state = "failed"
            path = f"{job.id}/g1/checkpoints/step-000002"
            folder = self.folder / "runs" / path
            self._write_checkpoint(folder, BASE, 1, {})
            (folder / "model").mkdir()
            (folder / "model" / "behaviour.json").write_text(json.dumps(behaviour))
            return add_checkpoint(session, job, path, "full")

    def _write_checkpoint(
        self, folder: Path, logprob: float, rank: int, probed: dict[str, Any]
    ) -> None:
        partial = folder.with_suffix(".tmp")
        (partial / "adapter").mkdir(parents=True)
        (partial / "adapter" / "adapter_model.safetensors").write_text(str(logprob))
        (partial / "adapter" / "adapter_config.json").write_text(json.dumps({"r": rank}))
        (partial / "probe.json").write_text(json.dumps(probe(logprob, **probed)))
        files = manifest.inventory(partial)
        digest = manifest.weights_digest(files, "adapter/")
        manifest.commit(partial, manifest.Manifest(2, 1, "", digest, True, files), folder)

    def deploy(self, *models: str) -> list[str]:
        with transaction() as session:
            return [deployments.create(session, CALLER, model).id for model in models]

    def until(self, condition: Callable[[], Any], timeout_s: float = 30) -> Any:
        """Step the worker until `condition` is truthy."""
        until = time.monotonic() + timeout_s
        while not (held := condition()):
            assert time.monotonic() < until, self.describe()
            worker.step()
            time.sleep(0.05)
        return held

    def settle(self, *ids: str, timeout_s: float = 30) -> list[Deployment]:
        """Step the worker until each of these deployments is ready, failed or stopped."""
        self.until(lambda: all(self.deployment(i).status not in UNSETTLED for i in ids), timeout_s)
        return [self.deployment(i) for i in ids]

    def deployment(self, deployment_id: str) -> Deployment:
        with transaction() as session:
            return session.get_one(Deployment, deployment_id)

    def engines(self) -> list[Engine]:
        with transaction() as session:
            return list(session.scalars(select(Engine).order_by(Engine.created_at)))

    def live(self) -> list[Engine]:
        return [engine for engine in self.engines() if engine.status in engines.LIVE]

    def describe(self) -> str:
        with transaction() as session:
            rows = list(session.scalars(select(Deployment)))
        lines = [f"{row.model} {row.status} {row.error}" for row in rows]
        lines += [f"{e.id} {e.status} {e.error} {vllm.last_words(e.id)}" for e in self.engines()]
        return "\n".join(lines)


UNSETTLED = (DeploymentStatus.PENDING, DeploymentStatus.STARTING)


def add_checkpoint(session: Any, job: Job, path: str, kind: str) -> str:
    model = f"ft:{job.base_model}:default::{job.id[6:18]}:ckpt-step-2"
    session.add(
        Checkpoint(
            id=new_id("ftckpt"), job_id=job.id, generation=1, step=2, path=path, kind=kind,
            sha256="", size_bytes=1, metrics={}, model=model,
        )
    )  # fmt: skip
    return model


def client_of(engine) -> EngineClient:
    return EngineClient(engines.address(engine))


def names_of(engine) -> set[str]:
    return set(client_of(engine).models() or ())


def gone_within(session: int, timeout_s: float) -> bool:
    until = time.monotonic() + timeout_s
    while process_tree.session(session) and time.monotonic() < until:
        time.sleep(0.02)
    return not process_tree.session(session)


@pytest.fixture
def product(
    settings_from: Callable[..., None], database_url: str, tmp_path: Path
) -> Iterator[None]:
    """The product's own settings and connection, with an organisation for requests."""
    settings_from(database_url=database_url, var=tmp_path)
    forget_connections()
    with transaction() as session:
        seed.organization(session)
    yield
    database.engine().dispose()
    forget_connections()


@pytest.fixture
def serving(
    product: None,
    settings_from: Callable[..., None],
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
) -> Iterator[Serving]:
    program = tmp_path / "python-with-vllm"
    source = Path(fake_vllm.__file__).read_text()
    program.write_text(f"#!{sys.executable} -IS\n{source}")
    program.chmod(program.stat().st_mode | stat.S_IXUSR)
    settings_from(vllm_python=program)
    monkeypatch.setattr(engines, "FIRST_PAUSE", engines.FIRST_PAUSE / 20)
    run_verb = parity.run_verb

    def run(verb: str, *arguments: str, **options: Any) -> dict[str, Any]:
        made_up = {"probe": probe(BASE), "special_strings": {"special_tokens": ["<|im_end|>"]}}
        return made_up.get(verb) or run_verb(verb, *arguments, **options)

    monkeypatch.setattr(parity, "run_verb", run)
    serving = Serving(tmp_path)
    yield serving
    for engine in serving.live():
        vllm.stop(engine.pid, engine.pid_started)
    engine_folders.remove_all(tmp_path)
