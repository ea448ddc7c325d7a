"""Two stacks, for backups and restores: helpers to fill one and to read its content."""

import hashlib
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from sqlalchemy import select

from models import Base, Checkpoint, File, Job
from models.base import new_id
from models.jobs import JobState
from orpo.contract import manifest
from orpo.contract.manifest import Manifest
from services.access.callers import Caller
from services.files import seed
from services.jobs import claims
from services.platform import storage
from services.platform.database import transaction
from services.platform.settings import get_settings
from services.runs import checkpoints
from tests import records

CALLER = Caller(seed.ORG_ID, None, records.SCOPES)
OLD_KEY = "sk-odd-old-0123456789-0123456789"
ROWS = b'{"line": 1}\n'


@dataclass
class Stacks:
    """Two databases, each with a folder; `choose` sets which one the product uses."""

    choose: Callable[[str], None]
    backup: Path


def store(key: str, content: bytes) -> str:
    with storage.writing(key) as sink:
        sink.write(content)
    return hashlib.sha256(content).hexdigest()


def upload(session: Any) -> File:
    key = f"files/{new_id('upload')}"
    content = b'{"prompt": 1}\n'
    sha256 = store(key, content)
    store(f"{key}.rows", ROWS)
    return records.file(
        session, CALLER, storage_key=key, rows_key=f"{key}.rows", sha256=sha256,
        size_bytes=len(content),
    )  # fmt: skip


def save(session: Any, job: Job, step: int) -> Checkpoint:
    """A checkpoint as the core commits it, and its row."""
    run_dir = get_settings().runs_dir / job.id / f"g{job.generation}"
    final = run_dir / "checkpoints" / f"step-{step:06d}"
    partial = final.with_suffix(".tmp")
    (partial / "adapter").mkdir(parents=True)
    (partial / "state").mkdir()
    (partial / "adapter" / "adapter_model.safetensors").write_bytes(b"w" * step)
    (partial / "state" / "training.safetensors").write_bytes(b"s" * step)
    files = manifest.inventory(partial)
    weights = manifest.weights_digest(files, "adapter")
    written = Manifest(step, job.generation, "fingerprint", weights, True, files)
    manifest.commit(partial, written, final)
    data = {
        "step": step, "path": f"checkpoints/{final.name}", "sha256": weights,
        "size_bytes": written.size_bytes, "metrics": {},
    }  # fmt: skip
    return checkpoints.register(session, job.id, job.generation, data)


def job_at_work(session: Any, base: str, **fields: Any) -> Job:
    """A job that a worker holds, with its prepared data on disk."""
    file = upload(session)
    job = records.job(
        session, CALLER, JobState.QUEUED, base_model=base, training_file=file.id, **fields
    )
    claims.claim_next(session, "w")
    session.refresh(job)
    data = get_settings().runs_dir / job.id / "data"
    data.mkdir(parents=True)
    (data / "train.jsonl").write_bytes(ROWS)
    (data / "tokens-abc").mkdir()
    (data / "tokens-abc" / "tokens.bin").write_bytes(b"made again")
    get_settings().tokens_dir.mkdir(exist_ok=True)
    (get_settings().tokens_dir / "tokens.bin").write_bytes(b"made again")
    run_dir = get_settings().runs_dir / job.id / "g1"
    run_dir.mkdir()
    (run_dir / "train.log").write_text("step 1\n")
    return job


@dataclass
class Old:
    """The ids of objects in the old stack."""

    running: str
    cancelling: str
    pausing: str
    ended: str
    checkpoints: list[str]
    deployment: str
    engine: str


def rows() -> dict[str, list[Any]]:
    """Every row of every table, ordered."""
    with transaction() as session:
        return {
            table.name: sorted(map(repr, session.execute(select(table))))
            for table in Base.metadata.sorted_tables
        }


def folder_of(name: str) -> list[str]:
    root = get_settings().var / name
    return sorted(str(path.relative_to(root)) for path in root.rglob("*") if path.is_file())
