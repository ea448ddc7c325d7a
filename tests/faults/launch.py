"""Starts the stack of the rows, with a tiny base model and some pairs; nothing of it is left."""

import json
import random
import subprocess
import sys
from collections.abc import Iterator, Mapping
from contextlib import ExitStack, contextmanager
from dataclasses import replace
from pathlib import Path
from types import MappingProxyType

from cli.stack import parts
from cli.stack.binaries import binaries
from cli.stack.folder import Folder
from cli.stack.parts import ROOT
from cli.stack.ports import LOOPBACK, Ports
from cli.stack.postgres import Postgres, account_for
from cli.stack.process import Part
from cli.stack.redis import Redis
from tests.e2e.wait import wait_for
from tests.faults.program import Program
from tests.faults.stack import TIMES, Stack


@contextmanager
def running(path: Path, settings: Mapping[str, str] = MappingProxyType({})) -> Iterator[Stack]:
    """Yield a stack on `path`, with these settings beside its own."""
    with Ports() as ports, ExitStack() as held:
        folder = Folder(path)
        folder.make()
        secrets = folder.secrets()
        place = folder.path / "postgres"
        postgres = Postgres(place, ports.choose(), secrets.postgres_admin, secrets.postgres)
        programs = held.enter_context(binaries(account_for(place), path / "postgres.copy"))
        redis = Redis(folder.path / "redis", ports.choose(), secrets.redis)
        redis.prepare()
        port = ports.choose()
        url = f"http://{LOOPBACK}:{port}"
        stack = Stack(folder, postgres, programs, redis, url, secrets.api_key)
        try:
            _start(stack, port, settings)
            yield stack
        finally:
            _stop(stack)


def _start(stack: Stack, port: int, settings: Mapping[str, str]) -> None:
    for name in ("postgres", "redis"):
        stack.start_store(name)
    env = parts.environment(
        stack.folder,
        api_url=stack.url,
        database_url=stack.postgres.sqlalchemy_url(),
        redis_url=stack.redis.url,
    )
    env |= TIMES | {f"ODDSMITH_{name.upper()}": value for name, value in settings.items()}
    for step in (parts.schema(env), parts.seed(env, stack.folder.secrets())):
        subprocess.run(step.argv, env=dict(step.env), cwd=ROOT, check=True, capture_output=True)
    base = _write_base(stack)
    for part in _parts(env, port):
        stack.programs[part.name] = Program(part, stack.folder.logs)
        stack[part.name].start()
    for program in stack.programs.values():
        program.until_ready()
    assert base.wait(60) == 0
    _register(stack)


def _parts(env: dict[str, str], port: int) -> list[Part]:
    keeper = replace(parts.keeper(env), ready_text="keeping")
    return [parts.api(env, LOOPBACK, port), keeper, _named(env, "files", "files"),
            _named(env, "prepare", "prepare"),
            _named(env, "train", "train-a"), _named(env, "train", "train-b")]  # fmt: skip


def _named(env: dict[str, str], queue: str, name: str) -> Part:
    part = parts.worker(env, queue)
    argv = tuple(f"{name}@%h" if word == f"{queue}@%h" else word for word in part.argv)
    return replace(part, name=name, argv=argv)


def _write_base(stack: Stack) -> subprocess.Popen[bytes]:
    # A process of its own, so that this one needs no torch.
    make = "import sys, pathlib; from tests.orpo.tiny_run import write_base as w; "
    folder = stack.folder.path / "tiny"
    command = [sys.executable, "-c", make + "w(pathlib.Path(sys.argv[1]))", str(folder)]
    return subprocess.Popen(command, cwd=ROOT, stdout=subprocess.DEVNULL)


def _register(stack: Stack) -> None:
    path = stack.folder.path / "tiny"
    with stack.http() as http:
        answer = http.post("/v1/models", json={"id": "tiny", "path": str(path)})
        assert answer.status_code == 200, answer.text
        files = {"file": ("pairs.jsonl", pairs(40))}
        answer = http.post("/v1/files", data={"purpose": "fine-tune"}, files=files)
        assert answer.status_code == 200, answer.text
        stack.pairs = answer.json()["id"]
        look = f"/v1/files/{stack.pairs}"
        wait_for(lambda: http.get(look).json()["status"] == "processed", 60, stack.logs)


def pairs(n: int) -> bytes:
    """Pairs of a few made-up words each."""
    rng = random.Random(0)
    words = ["salt", "river", "lamp", "quiet", "seven", "oak", "bridge", "paper", "noon"]

    def said(role: str, most: int) -> list[dict[str, str]]:
        return [{"role": role, "content": " ".join(rng.choices(words, k=rng.randint(1, most)))}]

    rows = [
        {
            "prompt": said("user", 6),
            "chosen": said("assistant", 8),
            "rejected": said("assistant", 9),
        }
        for _ in range(n)
    ]
    return "".join(json.dumps(row) + "\n" for row in rows).encode()


def _stop(stack: Stack) -> None:
    for program in stack.programs.values():
        program.kill()
    for process in stack.tree():
        process.kill()
    for store in stack.stores.values():
        store.close(10)
