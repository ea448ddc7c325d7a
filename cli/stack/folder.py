"""The folder that holds all data (`var`): its paths, its lock, its secrets.

Knows no process. One stack at a time runs on a folder: the one that holds the lock.
"""

import fcntl
import json
import os
import secrets
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import asdict, dataclass, field
from pathlib import Path
from typing import IO

from cli.stack.errors import StackError
from cli.stack.files import write_private
from cli.stack.process import wait_until
from services.access import key_text

LOOK_S = 0.3  # a process that looks for the holder takes the lock for a moment


def try_lock(file: IO[str]) -> bool:
    try:
        fcntl.flock(file, fcntl.LOCK_EX | fcntl.LOCK_NB)
    except BlockingIOError:
        return False
    return True


def password() -> str:
    return secrets.token_urlsafe(24)


@dataclass(frozen=True)
class Secrets:
    """Made once; the same key and passwords serve every later start."""

    api_key: str = field(default_factory=key_text.new)
    postgres: str = field(default_factory=password)
    postgres_admin: str = field(default_factory=password)
    redis: str = field(default_factory=password)
    # What the signing secrets of webhooks are derived from.
    webhooks: str = field(default_factory=password)


@dataclass(frozen=True)
class Running:
    """The content of `stack.json` while a stack runs and answers."""

    url: str
    api_key: str
    pid: int
    database_url: str = ""


class Folder:
    def __init__(self, path: Path | str | None = None) -> None:
        self.path = Path(path or os.environ.get("ODDSMITH_VAR") or "var").absolute()
        self.logs = self.path / "log"
        self.storage = self.path / "storage"
        self.runs = self.path / "runs"
        self.runtime_note = self.path / "runtime.json"

    def make(self) -> None:
        try:
            self.path.mkdir(mode=0o700, parents=True, exist_ok=True)
            for folder in (self.logs, self.storage, self.runs):
                folder.mkdir(exist_ok=True)
            (self.path / "stack.lock").touch(mode=0o600)
        except PermissionError as error:
            raise StackError(
                f"{error.filename} can't be written by this user. Start the stack as the user it "
                "belongs to, or set ODDSMITH_VAR to another folder."
            ) from None

    @contextmanager
    def lock(self) -> Iterator[None]:
        with (self.path / "stack.lock").open("a+") as file:
            if not wait_until(lambda: try_lock(file), timeout_s=LOOK_S):
                raise StackError(self.why_taken())
            file.truncate(0)
            file.write(str(os.getpid()))
            file.flush()
            try:
                yield
            finally:
                file.truncate(0)

    def why_taken(self) -> str:
        """A sentence about the stack that holds the folder, and what to do."""
        running = self.running()
        where = f" at {running.url}" if running else " and is still starting or stopping"
        return (
            f"A stack already runs on {self.path}{where} (process {self.holder()}). "
            "Use it, stop it with `oddsmith down`, or set ODDSMITH_VAR to another folder."
        )

    def holder(self) -> int | None:
        """Return the process that runs a stack here, if any."""
        path = self.path / "stack.lock"
        if not path.exists():
            return None
        with path.open() as file:
            return None if try_lock(file) else int(file.read() or 0) or None

    def secrets(self) -> Secrets:
        path = self.path / "secrets.json"
        if path.exists():
            kept = json.loads(path.read_text())
            secrets = Secrets(**kept)
            if kept != asdict(secrets):  # an earlier release made fewer
                write_private(path, json.dumps(asdict(secrets), indent=2) + "\n")
            return secrets
        if (self.path / "postgres" / "data").exists():
            raise StackError(
                f"{path} is missing, and it holds the database's passwords. Restore it, or move "
                f"{self.path} away to start with an empty folder."
            )
        made = Secrets()
        write_private(path, json.dumps(asdict(made), indent=2) + "\n")
        return made

    def running(self) -> Running | None:
        """Return the stack that runs and answers here; ignores a file that a killed stack left."""
        try:
            running = Running(**json.loads((self.path / "stack.json").read_text()))
        except (OSError, ValueError, TypeError):
            return None
        return running if running.pid == self.holder() else None

    @contextmanager
    def announce(self, running: Running) -> Iterator[None]:
        path = self.path / "stack.json"
        write_private(path, json.dumps(asdict(running)) + "\n")
        try:
            yield
        finally:
            path.unlink(missing_ok=True)
