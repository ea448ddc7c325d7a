"""`make chaos`: random processes of `oddsmith up` are killed under load, and nothing may be lost.

Every 20 s for 5 minutes one of them gets SIGKILL, while 20 jobs train, files are uploaded and chats
stream. Then the stack has 15 minutes to recover. It passes when all jobs have succeeded, each
acknowledged upload is there, no interrupted stream ended as if complete, and I1 to I8 hold. The
supervisor itself is not killed: restarting it is the job of the machine's service manager.
"""

import argparse
import hashlib
import json
import os
import random
import subprocess
import sys
import threading
import time
from collections import Counter
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from pathlib import Path
from tempfile import TemporaryDirectory

import httpx
import psutil

from bench.base import MODEL, demo_model
from cli.stack.folder import Folder
from cli.stack.parts import ROOT
from cli.stack.postgres import Postgres
from cli.stack.redis import Redis
from tests.e2e.wait import wait_for
from tests.faults.invariants import problems
from tests.faults.launch import pairs
from tests.faults.stack import TWO_RANKS, Stack

JOBS = 20
# Pauses: between two uploads, and between an answer and the next question, as people read.
UPLOAD_S, READING_S = 1, 4


@contextmanager
def up(path: Path, **settings: str) -> Iterator[Stack]:
    """Start a stack with `oddsmith up` and yield it; the product's own timeouts apply.

    `settings` are additional environment variables.
    """
    _oddsmith(path, "up", "--detach", **settings)
    try:
        yield _attach(path)
    finally:
        _oddsmith(path, "down")


def _oddsmith(path: Path, *arguments: str, **settings: str) -> None:
    env = {k: v for k, v in os.environ.items() if not k.startswith("ODDSMITH_")}
    command = [sys.executable, "-m", "cli.main", *arguments]
    env |= {"ODDSMITH_VAR": str(path)} | settings
    subprocess.run(command, cwd=ROOT, env=env, check=True, stdin=subprocess.DEVNULL)


def _attach(path: Path) -> Stack:
    folder = Folder(path)
    running, secrets = json.loads((path / "stack.json").read_text()), folder.secrets()
    url = httpx.URL(running["database_url"].replace("+psycopg", ""))
    place = folder.path / "postgres"
    postgres = Postgres(place, url.port or 0, secrets.postgres_admin, secrets.postgres)
    redis = Redis(folder.path / "redis", 0, secrets.redis)
    # The supervisor starts and restarts its programs; this process does not.
    return Stack(folder, postgres, None, redis, running["url"], running["api_key"])  # pyright: ignore[reportArgumentType]


def victims(supervisor: int) -> list[psutil.Process]:
    """All descendants of the supervisor."""
    return [p for p in psutil.Process(supervisor).children(recursive=True) if p.is_running()]


@dataclass
class Load:
    """The load while processes are killed, and counts of its answers."""

    stack: Stack
    pairs: bytes
    stop: threading.Event = field(default_factory=threading.Event)
    uploads: dict[str, str] = field(default_factory=dict)
    chats: Counter[str] = field(default_factory=Counter)

    def start(self) -> list[threading.Thread]:
        threads = [
            threading.Thread(target=self._repeat, args=(work, pause_s), daemon=True)
            for work, pause_s in ((self._upload, UPLOAD_S), (self._chat, READING_S))
        ]
        for thread in threads:
            thread.start()
        return threads

    def _repeat(self, work: Callable[[httpx.Client], None], pause_s: float) -> None:
        while not self.stop.wait(pause_s):
            try:
                with self.stack.http() as http:
                    work(http)
            except httpx.HTTPError:
                self.stop.wait(1)  # the API is down; the supervisor restarts it

    def _upload(self, http: httpx.Client) -> None:
        content = self.pairs + b"\n" * random.randint(1, 999)
        files = {"file": ("pairs.jsonl", content)}
        answer = http.post("/v1/files", data={"purpose": "fine-tune"}, files=files)
        if answer.status_code == 200:
            self.uploads[answer.json()["id"]] = hashlib.sha256(content).hexdigest()

    def _chat(self, http: httpx.Client) -> None:
        body = {
            "model": MODEL.name,
            "stream": True,
            "max_tokens": 40,
            "messages": [{"role": "user", "content": "Should I keep bread in the fridge?"}],
        }
        try:
            with http.stream("POST", "/v1/chat/completions", json=body) as answer:
                lines = [line for line in answer.iter_lines() if line.startswith("data: ")]
                status = answer.status_code
        except httpx.HTTPError:
            self.chats["cut"] += 1  # the API itself was killed
            raise
        self.chats[_outcome(status, lines)] += 1


def _outcome(status: int, lines: list[str]) -> str:
    if status != 200:
        return "refused"
    finished = any('"finish_reason":"' in line.replace(" ", "") for line in lines)
    if lines and lines[-1] == "data: [DONE]":
        return "whole" if finished else "false end"
    return "error sent" if any('"error"' in line for line in lines) else "cut"


def create(stack: Stack, number: int) -> str:
    """Create a job with an Idempotency-Key; retry until there is an answer."""

    def ask() -> str | None:
        try:
            with stack.http() as http:
                body = stack.body(**TWO_RANKS)
                key = {"Idempotency-Key": f"chaos-{number}"}
                answer = http.post("/v1/fine_tuning/jobs", json=body, headers=key)
        except httpx.HTTPError:
            return None
        return answer.json()["id"] if answer.status_code == 200 else None

    return wait_for(ask, 120, interval_s=1)


def prepare(stack: Stack, folder: Path) -> bytes:
    """Register the bases, upload the pairs, deploy one base, train one job undisturbed."""
    tiny, content = folder / "tiny", pairs(40)
    make = "import sys, pathlib; from tests.orpo.tiny_run import write_base as w; "
    command = [sys.executable, "-c", make + "w(pathlib.Path(sys.argv[1]))", str(tiny)]
    subprocess.run(command, cwd=ROOT, check=True, stdout=subprocess.DEVNULL)
    with stack.http() as http:
        for name, path in (("tiny", tiny), (MODEL.name, demo_model())):
            http.post("/v1/models", json={"id": name, "path": str(path)}).raise_for_status()
        files = {"file": ("pairs.jsonl", content)}
        stack.pairs = http.post("/v1/files", data={"purpose": "fine-tune"}, files=files).json()[
            "id"
        ]
        look = f"/v1/files/{stack.pairs}"
        wait_for(lambda: http.get(look).json()["status"] == "processed", 60)
        made = http.post("/v1/deployments", json={"model": MODEL.name}).json()["id"]
        wait_for(lambda: http.get(f"/v1/deployments/{made}").json()["status"] == "ready", 300)
    stack.faultless = stack.create(**TWO_RANKS)
    stack.until_state(stack.faultless, "succeeded", 300)
    return content


def kill_for(supervisor: int, chance: random.Random, minutes: float, every_s: float) -> None:
    until = time.monotonic() + 60 * minutes
    while time.monotonic() < until:
        victim = chance.choice(victims(supervisor))
        try:
            words = " ".join(victim.cmdline())[:90]
            victim.kill()
        except psutil.Error:
            continue
        print(f"  killed {victim.pid}: {words}", flush=True)
        time.sleep(every_s)


def states(stack: Stack) -> Counter[str]:
    try:
        return Counter(stack.job(job_id)["state"] for job_id in stack.jobs)
    except Exception:  # noqa: BLE001 - the database is restarting
        return Counter(unknown=len(stack.jobs))


def lost_uploads(stack: Stack, uploads: dict[str, str]) -> list[str]:
    found = []
    with stack.http() as http:
        for file_id, sha256 in uploads.items():
            answer = http.get(f"/v1/files/{file_id}/content")
            if hashlib.sha256(answer.content).hexdigest() != sha256:
                found.append(f"the upload {file_id} is not what was acknowledged")
    return found


def main() -> int:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--minutes", type=float, default=5)
    parser.add_argument("--every-s", type=float, default=20)
    parser.add_argument("--mend-minutes", type=float, default=15)
    parser.add_argument("--seed", type=int, default=random.randrange(10**6))
    given = parser.parse_args()
    print(f"seed {given.seed}", flush=True)
    with TemporaryDirectory(prefix="oddsmith-chaos-") as folder, up(Path(folder) / "var") as stack:
        supervisor = json.loads((Path(folder) / "var" / "stack.json").read_text())["pid"]
        load = Load(stack, prepare(stack, Path(folder)))
        threads = load.start()
        jobs = [create(stack, number) for number in range(JOBS)]
        stack.jobs += jobs
        kill_for(supervisor, random.Random(given.seed), given.minutes, given.every_s)
        began = time.monotonic()
        while states(stack)["succeeded"] < len(stack.jobs):
            if time.monotonic() - began > 60 * given.mend_minutes:
                break
            time.sleep(2)
        mended_s = time.monotonic() - began
        load.stop.set()
        for thread in threads:
            thread.join(90)
        wrong = [*problems(stack), *lost_uploads(stack, load.uploads)]
        wrong += [f"{n} streams claimed a false end" for n in (load.chats["false end"],) if n]
        found = states(stack)
        wrong += [f"{n} jobs are {state}" for state, n in found.items() if state != "succeeded"]
        if wrong:
            print(stack.logs(), file=sys.stderr)
    chats = ", ".join(f"{n} {outcome}" for outcome, n in sorted(load.chats.items()))
    many = f"{JOBS} jobs and the undisturbed one"
    print(f"{many}: {dict(found)}, {mended_s:.0f} s after the last kill")
    print(f"{len(load.uploads)} uploads acknowledged; chats: {chats}")
    print("\n".join(wrong) or "I1 to I8 hold, and nothing that was acknowledged is lost.")
    return 1 if wrong else 0


if __name__ == "__main__":
    sys.exit(main())
