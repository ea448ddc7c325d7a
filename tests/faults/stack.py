"""A stack whose every process can be killed by itself, and how the rows talk to it.

Real Postgres, Redis, API, keeper, workers of files and of preparations, and two train workers: the
second is the warm standby. Answers about jobs come from the database, which works while the API
doesn't.
"""

import json
import sys
import time
from collections.abc import Callable
from contextlib import suppress
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import httpx
import psutil
import psycopg
from psycopg.rows import dict_row

from cli.stack.binaries import Binaries
from cli.stack.folder import Folder
from cli.stack.parts import ROOT
from cli.stack.postgres import Postgres
from cli.stack.process import Process, wait_until
from cli.stack.redis import Redis
from orpo.contract.rundir import TREE
from tests.e2e.wait import wait_for
from tests.faults.program import Program

LEASE_S, HEARTBEAT_S, STALL_S = 4.0, 0.5, 8.0
TIMES = {
    "ODDSMITH_LEASE_S": f"{LEASE_S}",
    "ODDSMITH_HEARTBEAT_S": f"{HEARTBEAT_S}",
    "ODDSMITH_STALL_S": f"{STALL_S}",
    "ODDSMITH_RETRY_DELAY_S": "0",
}
ENDED = ("succeeded", "failed", "cancelled")
EVERY = 40  # steps between checkpoints
TWO_RANKS = {
    "strategy": "ddp", "processes": 2, "max_steps": 6 * EVERY, "n_epochs": 1000, "batch_size": 4,
    "lora_rank": 2, "learning_rate": 1e-3, "precision": "fp32", "max_length": 256,
    "held_out_fraction": 0.2, "eval_every": 3 * EVERY, "checkpoint_every": EVERY, "n_samples": 1,
    "sample_tokens": 4,
}  # fmt: skip
# One rank and few steps, where only the job's way through the platform counts.
SHORT = TWO_RANKS | {"strategy": "single", "processes": 1, "max_steps": 4}
# Runs until it is cancelled.
ENDLESS = TWO_RANKS | {"max_steps": 1_000_000, "eval_every": 1_000_000}

Job = dict[str, Any]


@dataclass
class Stack:
    folder: Folder
    postgres: Postgres
    postgres_programs: Binaries
    redis: Redis
    url: str
    key: str
    programs: dict[str, Program] = field(default_factory=dict)
    stores: dict[str, Process] = field(default_factory=dict)
    jobs: list[str] = field(default_factory=list)
    """What this row has created."""
    faultless: str | None = None
    """The undisturbed job of TWO_RANKS: what all others of it must be equal to."""
    pairs: str = ""
    start_s: float = 0.0
    """How much longer a cluster takes to start a run than a worker of this machine does."""
    _connection: psycopg.Connection | None = None

    # --- processes --------------------------------------------------------------------------------

    def __getitem__(self, name: str) -> Program:
        return self.programs[name]

    @property
    def train_workers(self) -> list[Program]:
        return [self["train-a"], self["train-b"]]

    def start_store(self, name: str) -> None:
        if name == "postgres":
            self.postgres.prepare(self.postgres_programs)
            part = self.postgres.part(self.postgres_programs)
        else:
            part = self.redis.part()
        self.stores[name] = Process(part, self.folder.logs / f"{name}.log")
        assert wait_until(self.stores[name].is_ready, timeout_s=60), name

    def kill_store(self, name: str) -> None:
        """End Postgres by an immediate stop, Redis by SIGKILL, together with all its children."""
        self.stores[name].kill()
        self.stores[name].wait(15)

    def restart(self, name: str, *tricks: str, **settings: str) -> None:
        """Start a program again, tampered with; the next row finds it as it should be."""
        self[name].kill()
        self[name].start(*tricks, **settings)
        self[name].until_ready()

    def heal(self) -> None:
        """Bring back whatever the row before has killed, paused or tampered with; end its jobs.

        Trainings that were tampered with to outlive their jobs are killed here.
        """
        self.heal_programs()
        self.end_all()
        for process in self.tree():
            with suppress(psutil.Error):
                process.kill()
        self.jobs.clear()

    def heal_programs(self) -> None:
        for name, store in self.stores.items():
            if store.exit_code() is not None:
                self.start_store(name)
        away = [p for p in self.programs.values() if p.tricks or not p.is_running]
        for program in self.programs.values():
            if program in away:
                program.kill()
                program.start()
            else:
                program.go_on()
        for program in away:
            program.until_ready()

    def end_all(self) -> None:
        """Cancel what still runs, so that each row begins with idle workers."""
        with self.http() as http:
            for job_id in self.jobs:
                if self.job(job_id)["state"] not in ENDED:
                    http.post(f"/v1/fine_tuning/jobs/{job_id}/cancel")
        for job_id in self.jobs:
            self.until(job_id, lambda job: job["state"] in ENDED)

    def rank_python(self, *tricks: str) -> str:
        """An interpreter for ODDSMITH_TRAIN_PYTHON whose ranks are tampered with."""
        source = (ROOT / "tests" / "faults" / "rank_python.sh").read_text()
        path = self.folder.path / f"python-{'-'.join(tricks)}"
        text = source.replace("@PYTHON@", sys.executable).replace("@TRICKS@", ",".join(tricks))
        path.write_text(text)
        path.chmod(0o755)
        return str(path)

    # --- requests ---------------------------------------------------------------------------------

    def http(self) -> httpx.Client:
        headers = {"Authorization": f"Bearer {self.key}"}
        # Plain HTTP: to read certificates for each client would take 30 ms of a core.
        return httpx.Client(
            base_url=self.url, headers=headers, timeout=120, trust_env=False, verify=False
        )

    def body(self, **hyperparameters: Any) -> dict[str, Any]:
        method = {"type": "orpo", "orpo": {"hyperparameters": hyperparameters}}
        return {"model": "tiny", "training_file": self.pairs, "method": method, "seed": 7}

    def create(self, **hyperparameters: Any) -> str:
        """Create a job: by default the one that the faultless run was."""
        with self.http() as http:
            answer = http.post("/v1/fine_tuning/jobs", json=self.body(**hyperparameters))
        assert answer.status_code == 200, answer.text
        self.jobs.append(answer.json()["id"])
        return self.jobs[-1]

    def ask(self, job_id: str, verb: str) -> None:
        with self.http() as http:
            answer = http.post(f"/v1/fine_tuning/jobs/{job_id}/{verb}")
        assert answer.status_code == 200, answer.text

    def create_paused(self, **hyperparameters: Any) -> str:
        """A job whose data is prepared and which no worker may claim before it is resumed."""
        job_id = self.create(**hyperparameters)
        self.ask(job_id, "pause")
        self.until(job_id, lambda job: job["state"] == "paused")
        return job_id

    # --- what the database and the disk say -------------------------------------------------------

    def rows(self, query: str, *values: Any) -> list[dict[str, Any]]:
        """Ask the database; a connection that a row has cut is replaced."""
        try:
            return self._ask_database(query, values)
        except psycopg.OperationalError:
            self._connection = None
            return self._ask_database(query, values)

    def _ask_database(self, query: str, values: Any) -> list[dict[str, Any]]:
        if self._connection is None:
            self._connection = psycopg.connect(self.postgres.url(), autocommit=True)
        cursor = self._connection.cursor(row_factory=dict_row)
        return cursor.execute(query.encode(), values).fetchall()

    def job(self, job_id: str) -> Job:
        return self.rows("SELECT * FROM jobs WHERE id = %s", job_id)[0]

    def until(self, job_id: str, condition: Callable[[Job], bool], timeout_s: float = 120) -> Job:
        """Wait for a job; one that ends otherwise fails the row."""

        def look() -> Job | None:
            job = self.job(job_id)
            if condition(job):
                return job
            assert job["state"] not in ENDED, f"{job['state']}: {job['error']}\n{self.logs()}"
            return None

        return wait_for(look, timeout_s + self.start_s, self.logs, interval_s=0.05)

    def until_state(self, job_id: str, state: str, timeout_s: float = 120) -> Job:
        return self.until(job_id, lambda job: job["state"] == state, timeout_s)

    def until_step(self, job_id: str, step: int, generation: int = 1) -> None:
        """Wait until the step is trained and the checkpoints before it are registered."""
        saved = step // EVERY * EVERY
        known = "SELECT 1 FROM checkpoints WHERE job_id = %s AND step = %s"

        def there() -> bool:
            if self.step(job_id, generation) < step:
                return False
            return saved == 0 or bool(self.rows(known, job_id, saved))

        wait_for(there, 120 + self.start_s, self.logs, interval_s=0.02)

    def run_dir(self, job_id: str, generation: int = 1) -> Path:
        return self.folder.runs / job_id / f"g{generation}"

    def step(self, job_id: str, generation: int = 1) -> int:
        """The newest step that a generation has written to its files."""
        path = self.run_dir(job_id, generation) / "metrics.jsonl"
        whole = path.read_text().rpartition("\n")[0] if path.exists() else ""
        return int(json.loads(whole.splitlines()[-1])["step"]) if whole else 0

    def events(self, job_id: str, kind: str) -> list[dict[str, Any]]:
        """The data of a run's own events of one kind, oldest first."""
        found = self.rows("SELECT data FROM job_events WHERE job_id = %s ORDER BY seq", job_id)
        return [row["data"] for row in found if (row["data"] or {}).get("kind") == kind]

    def checkpoints(self, job_id: str) -> list[dict[str, Any]]:
        return self.rows("SELECT * FROM checkpoints WHERE job_id = %s ORDER BY step", job_id)

    def holder(self, job_id: str) -> Program:
        pid = int(self.job(job_id)["worker"].rpartition(":")[2])
        return next(worker for worker in self.train_workers if worker.pid == pid)

    def tree(self, job_id: str = "", generation: int | None = None) -> list[psutil.Process]:
        """The live training processes of a job, or of all jobs."""
        end = "" if generation is None else f"/g{generation}"
        found = []
        for process in psutil.process_iter():
            try:
                mark = process.environ().get(TREE, "")
                dead = process.status() == psutil.STATUS_ZOMBIE
            except psutil.Error:
                continue
            # Further nodes on this machine have the same mark, with `#` and their number.
            run_dir = mark.partition("#")[0]
            ours = run_dir.startswith(f"{self.folder.runs}/{job_id}")
            if ours and run_dir.endswith(end) and not dead:
                found.append(process)
        return found

    def ranks(self, job_id: str, generation: int | None = None) -> list[psutil.Process]:
        return [p for p in self.tree(job_id, generation) if "LOCAL_RANK" in environ(p)]

    def logs(self) -> str:
        """The ends of all logs, for the message of a failed row."""
        logs = [*self.folder.logs.glob("*.log"), *self.folder.runs.glob("*/g*/train.log")]
        newest = sorted(logs, key=lambda path: path.stat().st_mtime)[-8:]
        return "\n".join(f"--- {p}\n{p.read_text(errors='replace')[-2500:]}" for p in newest)


def environ(process: psutil.Process) -> dict[str, str]:
    try:
        return process.environ()
    except psutil.Error:
        return {}


def ended_within(alive: Callable[[], Any], timeout_s: float) -> float | None:
    """Seconds until nothing was alive any more, or None."""
    began = time.monotonic()
    done = wait_until(lambda: not alive(), timeout_s=timeout_s, interval_s=0.02)
    return time.monotonic() - began if done else None
