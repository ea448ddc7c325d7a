"""The two servers that are measured: our API and the bare one, on one scratch Postgres.

The benchmark's own process is the load client of both.
"""

import os
import subprocess
import sys
import time
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from enum import StrEnum
from pathlib import Path

import psutil
from sqlalchemy import select

from cli.stack import parts
from cli.stack.ports import any_free
from cli.stack.scratch import ScratchApi, scratch_api
from models import ApiKey
from models.jobs import JobState
from services.access.callers import Caller
from services.jobs import claims
from services.platform.database import transaction
from services.platform.settings import get_settings
from tests import records

# Longer than any benchmark, so that no lease expires.
LEASE_S = 3600


class Side(StrEnum):
    BARE = "bare"
    OURS = "ours"


@dataclass
class Bare:
    """The bare API as a process of its own."""

    url: str
    key: str
    environment: dict[str, str]
    folder: Path
    process: subprocess.Popen[bytes] = field(init=False)

    def start(self) -> None:
        port = self.url.rpartition(":")[2]
        command = [sys.executable, "-m", "uvicorn", "bench.platform.bare:app", "--port", port]
        with (self.folder / "bare.log").open("ab") as log:
            self.process = subprocess.Popen(
                [*command, "--no-access-log"],
                cwd=parts.ROOT, env=self.environment, stdout=log, stderr=log,
            )  # fmt: skip
        until = time.monotonic() + 30
        while not parts.answers(f"{self.url}/healthz"):
            if time.monotonic() > until or self.process.poll() is not None:
                raise RuntimeError((self.folder / "bare.log").read_text())
            time.sleep(0.05)


@dataclass
class Stage:
    """Both servers, and ids of rows that requests can name."""

    servers: dict[Side, ScratchApi | Bare]
    owner: Caller
    base_model: str
    training_file: str
    job_id: str
    folder: Path

    @property
    def key(self) -> str:
        return self.servers[Side.OURS].key

    def url(self, side: Side) -> str:
        return self.servers[side].url

    def restart(self, side: Side) -> None:
        """Start a new server process, without memory left by the last measurement."""
        server = self.servers[side]
        server.process.terminate()
        server.process.wait()
        server.start()

    def rss_bytes(self, side: Side) -> int:
        return psutil.Process(self.servers[side].process.pid).memory_info().rss

    def cpu_s(self, side: Side) -> float:
        times = psutil.Process(self.servers[side].process.pid).cpu_times()
        return times.user + times.system

    def claimed_job(self) -> str:
        """Create a job that this process has claimed (generation 1); return its id."""
        with transaction() as session:
            job = records.job(
                session, self.owner, JobState.QUEUED,
                base_model=self.base_model, training_file=self.training_file,
            )  # fmt: skip
            claimed = claims.claim_next(session, "bench")
            assert claimed is not None
            assert claimed.id == job.id
            return job.id


@contextmanager
def stage(folder: Path) -> Iterator[Stage]:
    """Yield both servers, started, with this process on the same database."""
    os.environ["ODDSMITH_LEASE_S"] = str(LEASE_S)
    # Changes are counted as in a real installation, but the budget is never exhausted.
    os.environ["ODDSMITH_CHANGES_PER_MINUTE"] = str(10**9)
    with scratch_api(folder) as ours:
        os.environ |= ours.environment()
        get_settings.cache_clear()
        with transaction() as session:
            key = session.scalars(select(ApiKey)).one()
            owner = Caller(key.org_id, key.id, frozenset(key.scopes))
            job = records.job(session, owner)
            found = (job.base_model, job.training_file, job.id)
        environment = ours.environment() | {"BENCH_KEY_ID": owner.api_key_id or ""}
        bare = Bare(f"http://127.0.0.1:{any_free()}", ours.key, environment, folder)
        bare.start()
        try:
            yield Stage({Side.OURS: ours, Side.BARE: bare}, owner, *found, folder)
        finally:
            bare.process.terminate()
            bare.process.wait()
