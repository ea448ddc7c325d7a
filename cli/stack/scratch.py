"""Throw-away stores, for tests and for `python -m cli.stack.scratch check`.

Real servers in a temporary folder, on free ports, gone when the block ends or its process dies.
"""

import os
import subprocess
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from tempfile import TemporaryDirectory

from cli.stack.binaries import binaries
from cli.stack.parts import ROOT
from cli.stack.ports import Ports
from cli.stack.postgres import Postgres, account_for
from cli.stack.process import running
from cli.stack.redis import Redis


@contextmanager
def scratch_postgres(folder: Path) -> Iterator[Postgres]:
    """Yield a running server whose data would not survive a crash of the machine."""
    folder.mkdir(mode=0o700, parents=True, exist_ok=True)
    account = account_for(folder / "postgres")
    with Ports() as ports, binaries(account, folder / "postgres.copy") as programs:
        port = ports.choose()
        postgres = Postgres(folder / "postgres", port, "admin", "password", durable=False)
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
