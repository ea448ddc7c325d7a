"""Temporary servers for tests, benchmarks and `python -m cli.stack.scratch check`.

They are real servers in a temporary folder, on free ports, removed when the block ends or its
process dies.
"""

import os
import subprocess
import sys
import time
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from pathlib import Path
from tempfile import TemporaryDirectory

from cli.stack import parts
from cli.stack.binaries import binaries
from cli.stack.parts import ROOT
from cli.stack.ports import Ports
from cli.stack.postgres import Postgres, account_for
from cli.stack.process import running
from cli.stack.redis import Redis
from services.access import key_text


@contextmanager
def scratch_postgres(folder: Path, *, durable: bool = False) -> Iterator[Postgres]:
    """Yield a running server; unless it is durable, its data would not survive a crash of the
    machine.
    """
    folder.mkdir(mode=0o700, parents=True, exist_ok=True)
    account = account_for(folder / "postgres")
    with Ports() as ports, binaries(account, folder / "postgres.copy") as programs:
        port = ports.choose()
        postgres = Postgres(folder / "postgres", port, "admin", "password", durable=durable)
        postgres.prepare(programs)
        with running(postgres.part(programs), folder):
            yield postgres


@contextmanager
def scratch_redis(folder: Path) -> Iterator[Redis]:
    with Ports() as ports:
        redis = Redis(folder / "redis", ports.choose(), "password")
        redis.prepare()
        with running(redis.part(), folder):
            yield redis


@dataclass
class ScratchApi:
    """The API as a process of its own. It may be killed, and restarted on the same port."""

    url: str
    key: str
    database_url: str
    redis_url: str
    folder: Path
    process: subprocess.Popen[bytes] = field(init=False)

    def start(self) -> None:
        """Start, and return when it answers. Raises RuntimeError if it does not answer in 30 s."""
        host, _, port = self.url.rpartition("/")[2].partition(":")
        part = parts.api({"ODDSMITH_API_URL": self.url}, host, int(port))
        with (self.folder / "api.log").open("ab") as log:
            self.process = subprocess.Popen(
                [*part.argv, "--no-access-log"],
                cwd=ROOT, env=self.environment(), stdout=log, stderr=log,
            )  # fmt: skip
        until = time.monotonic() + 30
        while time.monotonic() < until and self.process.poll() is None:
            if parts.answers(f"{self.url}/healthz"):
                return
            time.sleep(0.05)
        raise RuntimeError((self.folder / "api.log").read_text())

    def environment(self) -> dict[str, str]:
        """The environment for a process that shares its database and folder."""
        settings = {
            "DATABASE_URL": self.database_url,
            "REDIS_URL": self.redis_url,
            "VAR": self.folder,
            "FIRST_KEY": self.key,
        }
        return os.environ | {f"ODDSMITH_{name}": str(value) for name, value in settings.items()}


@contextmanager
def scratch_api(folder: Path) -> Iterator[ScratchApi]:
    """Yield the API on a seeded Postgres and a Redis of its own, without workers.

    Its key has all scopes.
    """
    stores = folder / "stores"
    with scratch_postgres(stores) as postgres, scratch_redis(stores) as redis, Ports() as ports:
        key = key_text.new()
        url = f"http://127.0.0.1:{ports.choose()}"
        api = ScratchApi(url, key, postgres.sqlalchemy_url(), redis.url, folder)
        alembic(api.database_url, "upgrade", "head")
        seed = [sys.executable, "-m", "services.files.seed"]
        subprocess.run(seed, cwd=ROOT, env=api.environment(), check=True)
        api.start()
        try:
            yield api
        finally:
            api.process.terminate()
            api.process.wait()


def alembic(url: str, *arguments: str) -> int:
    command = [sys.executable, "-m", "alembic", *arguments]
    env = os.environ | {"ODDSMITH_DATABASE_URL": url}
    return subprocess.run(command, cwd=ROOT, env=env, check=False).returncode


def main() -> int:
    """Migrate a new database, then run the given alembic command on it."""
    with TemporaryDirectory() as folder, scratch_postgres(Path(folder)) as postgres:
        url = postgres.sqlalchemy_url()
        return alembic(url, "upgrade", "head") or alembic(url, *sys.argv[1:])


if __name__ == "__main__":
    sys.exit(main())
