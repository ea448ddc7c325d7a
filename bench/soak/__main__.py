"""`make soak`: a ten-minute attack on `oddsmith up`, and its effect on another key.

The attack: slow clients, floods from one key, hostile models and files, keys that are revoked while
a stream is open, and SIGKILL to a random process every 20 s. Meanwhile a good key sends
`GET /v1/models` ten times a second and trains. The soak fails if
- the p99 of these requests is 500 ms or more (requests that overlap a time in which a kill had
  stopped the API are left out: `good.Windows`);
- a request of the good key is refused, or one of its jobs is lost;
- a stream of a revoked key goes on;
- the stack ends with more processes, sockets, descriptors, files or shared memory than it had after
  a warm-up.

SOAK_S=60 makes it shorter. `--plant KIND...` adds leaks on purpose; the command must then fail.
"""

import argparse
import json
import os
import random
import subprocess
import sys
import threading
import time
from collections import Counter
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from dataclasses import dataclass, field
from pathlib import Path
from tempfile import TemporaryDirectory

import httpx
import psutil

from bench import chaos
from bench.base import MODEL, demo_model
from bench.soak import census, hostile, plants
from bench.soak.census import Census
from bench.soak.good import Good, Windows, p99_ms
from cli.stack.parts import ROOT
from cli.stack.process import has_ended
from services.jobs.states import ENDED
from tests.e2e.wait import wait_for
from tests.faults.invariants import problems
from tests.faults.stack import TWO_RANKS, Stack, ended_within

P99_MS = 500
WARM_UP_S = 20
KILL_EVERY_S, JOB_EVERY_S, REVOKE_EVERY_S = 20, 30, 5
MEND_S, SETTLE_S = 900, 120
# A stream checks its key at each heartbeat.
REVOKED_S = 30
# Random kills may hit one job three times in a row: no fault of the job or of the product.
MAX_ATTEMPTS = 20
# While one of these is down, the API cannot answer.
NEEDED = ("api", "postgres", "redis")


@dataclass
class Soak:
    stack: Stack
    supervisor: int
    windows: Windows
    answers: Counter[str] = field(default_factory=Counter)
    kills: Counter[str] = field(default_factory=Counter)
    wrong: list[str] = field(default_factory=list)

    def admin(self, path: str, **body: object) -> dict[str, str]:
        """Create something with the stack's first key."""
        with httpx.Client(base_url=self.stack.url, timeout=60, trust_env=False) as http:
            headers = {"Authorization": f"Bearer {self.stack.key}"}
            answer = http.post(path, json=body, headers=headers)
            answer.raise_for_status()
            return answer.json()

    def key(self, name: str, scope: str) -> str:
        return self.admin("/v1/api_keys", name=name, scopes=[scope])["key"]

    @contextmanager
    def attacked(self, plan: dict[str, object], folder: Path) -> Iterator[None]:
        """Run the attackers while the block runs."""
        said = folder / "answers.json"
        command = [sys.executable, "-m", "bench.soak.attackers", str(said)]
        process = subprocess.Popen(command, cwd=ROOT, stdin=subprocess.PIPE, text=True)
        assert process.stdin is not None
        process.stdin.write(json.dumps(plan) + "\n")
        process.stdin.flush()
        try:
            yield
        finally:
            process.stdin.close()
            try:
                process.wait(120)
            except subprocess.TimeoutExpired:
                process.kill()
            if said.exists():
                self.answers += Counter(json.loads(said.read_text()))

    def kill_one(self, chance: random.Random) -> None:
        """Send SIGKILL to a random process; if the API needs it, wait for the API to return."""
        leash = chance.choice(psutil.Process(self.supervisor).children())
        part, began = census.part_of(leash), time.monotonic()
        try:
            chance.choice([leash, *leash.children(recursive=True)]).kill()
        except psutil.Error:
            return
        self.kills[part] += 1
        if part in NEEDED and not self.windows.open_until_ready(began):
            self.wrong.append(f"The API did not come back after a kill of {part}.")

    def watch_revoked(self, job_id: str, stop: threading.Event) -> None:
        """Repeatedly open a stream with a new key, revoke the key, and see if the stream ends."""
        while not stop.wait(REVOKE_EVERY_S):
            try:
                self._revoke(job_id)
            except (httpx.HTTPError, KeyError):
                continue  # the API was killed in between

    def _revoke(self, job_id: str) -> None:
        made = self.admin("/v1/api_keys", name="revoked", scopes=["read"])
        first = {"Authorization": f"Bearer {self.stack.key}"}
        theirs = {"Authorization": f"Bearer {made['key']}"}
        path = f"/v1/fine_tuning/jobs/{job_id}/stream"
        with (
            httpx.Client(base_url=self.stack.url, timeout=REVOKED_S, trust_env=False) as http,
            http.stream("GET", path, headers=theirs) as stream,
        ):
            lines = stream.iter_lines()
            next(lines, None)
            http.delete(f"/v1/api_keys/{made['id']}", headers=first).raise_for_status()
            revoked = time.monotonic()
            for _ in lines:
                if time.monotonic() - revoked > REVOKED_S:
                    self.answers["revoked: goes on"] += 1
                    return
            self.answers["revoked: ended"] += 1


def prepare(soak: Soak, folder: Path, engine: bool) -> str:
    """Register bases, upload the pairs, train one job undisturbed; return the job's model."""
    stack, tiny = soak.stack, folder / "tiny"
    make = "import sys, pathlib; from tests.orpo.tiny_run import write_base as w; "
    command = [sys.executable, "-c", make + "w(pathlib.Path(sys.argv[1]))", str(tiny)]
    subprocess.run(command, cwd=ROOT, check=True, stdout=subprocess.DEVNULL)
    bases = {"tiny": tiny} | ({MODEL.name: demo_model()} if engine else {})
    with stack.http() as http:
        for name, path in bases.items():
            http.post("/v1/models", json={"id": name, "path": str(path)}).raise_for_status()
            look = f"/v1/models/{name}"
            wait_for(lambda look=look: http.get(look).json().get("status", "ready") == "ready", 120)
        content = (ROOT / "examples" / "short-answers.jsonl").read_bytes()
        files = {"file": ("pairs.jsonl", content)}
        sent = http.post("/v1/files", data={"purpose": "fine-tune"}, files=files).json()
        stack.pairs = sent["id"]
        wait_for(lambda: http.get(f"/v1/files/{sent['id']}").json()["status"] == "processed", 60)
        if engine:
            made = http.post("/v1/deployments", json={"model": MODEL.name}).json()["id"]
            wait_for(lambda: http.get(f"/v1/deployments/{made}").json()["status"] == "ready", 300)
        stack.faultless = stack.create(**TWO_RANKS)
        stack.until_state(stack.faultless, "succeeded", 300)
        return http.get(f"/v1/fine_tuning/jobs/{stack.faultless}").json()["fine_tuned_model"]


def cancel_others(stack: Stack) -> None:
    """Cancel the attackers' jobs, so that the good key's jobs get their turn."""
    rows = stack.rows("SELECT id FROM jobs WHERE state NOT IN ('succeeded', 'failed', 'cancelled')")
    with stack.http() as http:
        for job_id in {row["id"] for row in rows} - set(stack.jobs):
            http.post(f"/v1/fine_tuning/jobs/{job_id}/cancel")


def settle(soak: Soak, before: Census | None) -> Census:
    """Wait, at most SETTLE_S, until the stack is idle and has no leak; return its counts."""
    cancel_others(soak.stack)
    found = census.take(soak.stack, soak.supervisor)
    until = time.monotonic() + SETTLE_S
    while time.monotonic() < until:
        busy = soak.stack.rows(
            "SELECT 1 FROM jobs WHERE state IN ('claimed', 'running', 'finalizing') LIMIT 1"
        )
        last, found = found, census.take(soak.stack, soak.supervisor)
        quiet = found.leaks(before) == [] if before else last.leaks(found) == found.leaks(last)
        if not busy and quiet:
            break
        time.sleep(3)
    return found


def run(soak: Soak, given: argparse.Namespace, folder: Path) -> tuple[Good, Census, Census]:
    tuned = prepare(soak, folder, given.engine)
    good = Good(soak.stack)
    plan: dict[str, object] = {
        "port": int(soak.stack.url.rpartition(":")[2]), "key": soak.key("attacker", "write"),
        "admin_key": soak.key("attacker of models", "admin"), "base": "tiny",
        "file": soak.stack.pairs, "tuned": tuned,
        "models": [str(path) for path in hostile.models(folder, folder / "tiny")],
    }  # fmt: skip
    with soak.attacked(plan, folder):
        time.sleep(WARM_UP_S)
    before = settle(soak, None)
    if given.plant:
        plants.plant(soak.stack.folder.path, given.plant)
    watched = soak.stack.create_paused(**TWO_RANKS)
    work = [
        (good.ask,), (good.train, JOB_EVERY_S), (soak.watch_revoked, watched, good.stop),
    ]  # fmt: skip
    threads = [threading.Thread(target=one, args=rest, daemon=True) for one, *rest in work]
    chance, until = random.Random(given.seed), time.monotonic() + given.seconds
    with soak.attacked(plan, folder):
        for thread in threads:
            thread.start()
        while (left_s := until - time.monotonic()) > 0:
            good.stop.wait(min(given.kill_every_s, left_s))
            if until - time.monotonic() > given.kill_every_s / 2:
                soak.kill_one(chance)
        good.stop.set()
    for thread in threads:
        thread.join(2 * REVOKED_S)
    soak.stack.jobs.remove(watched)
    mend(soak)
    return good, before, settle(soak, before)


def mend(soak: Soak) -> None:
    """Wait until all jobs of the good key have ended; note what is wrong with them."""
    cancel_others(soak.stack)
    ended_within(lambda: set(chaos.states(soak.stack)) - ENDED, MEND_S)
    found = chaos.states(soak.stack)
    soak.wrong += [f"{n} jobs are {state}" for state, n in found.items() if state != "succeeded"]
    soak.wrong += problems(soak.stack)


def report(soak: Soak, good: Good, before: Census, after: Census) -> list[str]:
    """Print the table and return a sentence for each thing that is wrong."""
    counted = good.counted(soak.windows)
    p99 = p99_ms(counted)
    wrong = [*soak.wrong, *good.wrong(soak.windows), *after.leaks(before)]
    wrong += [f"p99 of GET /v1/models is {p99:.0f} ms"] * (p99 >= P99_MS)
    if on := soak.answers["revoked: goes on"]:
        wrong.append(f"{on} streams of revoked keys went on for {REVOKED_S} s")
    print("| what | found | limit |\n| --- | --- | --- |")
    print(f"| p99 of GET /v1/models, {len(counted)} requests | {p99:.0f} ms | {P99_MS} ms |")
    left_out, down_s = len(good.asks) - len(counted), soak.windows.total_s()
    print(f"| requests left out: API down by a kill | {left_out} in {down_s:.0f} s | - |")
    states = chaos.states(soak.stack)
    print(f"| jobs of the good key | {dict(states)} | all succeeded |")
    for kind in census.KINDS:
        limit = f"{before.total(kind)} (+{census.SLACK[kind]} a part)"
        print(f"| {kind} | {after.total(kind)} | {limit} |")
    print(f"\nKilled: {dict(soak.kills)}\nWhat the attackers were answered:")
    for answer, n in sorted(soak.answers.items()):
        print(f"  {answer}: {n}")
    return wrong


def left_behind(var: Path, supervisor: int) -> list[str]:
    """What remains after the stack was stopped."""
    found: list[str] = []
    with suppress(psutil.NoSuchProcess):
        found += [] if has_ended(psutil.Process(supervisor)) else ["the supervisor's process"]
    return found + [
        str(path) for path in (var / "runtime.json", var / "stack.json") if path.exists()
    ]


def main() -> int:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--seconds", type=float, default=float(os.environ.get("SOAK_S") or 600))
    parser.add_argument("--kill-every-s", type=float, default=KILL_EVERY_S)
    parser.add_argument("--engine", action=argparse.BooleanOptionalAction, default=None)
    parser.add_argument("--plant", nargs="+", choices=plants.KINDS, default=[])
    parser.add_argument("--seed", type=int, default=random.randrange(10**6))
    given = parser.parse_args()
    if given.engine is None:  # a short soak has no time to start an engine
        given.engine = given.seconds >= 300
    print(f"{given.seconds:.0f} s, seed {given.seed}, engine: {given.engine}", flush=True)
    with TemporaryDirectory(prefix="oddsmith-soak-") as name:
        folder, var = Path(name), Path(name) / "var"
        os.environ |= plants.prepare(folder) if given.plant else {}
        with chaos.up(var, ODDSMITH_MAX_ATTEMPTS=str(MAX_ATTEMPTS)) as stack:
            supervisor = json.loads((var / "stack.json").read_text())["pid"]
            soak = Soak(stack, supervisor, Windows(stack.url))
            wrong = report(soak, *run(soak, given, folder))
            if wrong:
                print(stack.logs()[-20_000:], file=sys.stderr)
        wrong += [f"left after down: {what}" for what in left_behind(var, supervisor)]
    print("\n".join(["", *(wrong or ["Nothing was lost, and nothing leaked."])]))
    return 1 if wrong else 0


if __name__ == "__main__":
    sys.exit(main())
