"""The stack's folder: private files, one stack at a time, leftovers of a killed stack."""

import json
import os
import subprocess
import sys
from pathlib import Path

import pytest

from cli.stack import stack
from cli.stack.errors import StackError
from cli.stack.folder import Folder, Running
from services.access import key_text


@pytest.fixture
def folder(tmp_path: Path) -> Folder:
    made = Folder(tmp_path / "var")
    made.make()
    return made


def mode(path: Path) -> int:
    return path.stat().st_mode & 0o777


def test_secrets_are_made_once_and_private(folder: Folder) -> None:
    secrets = folder.secrets()
    assert folder.secrets() == secrets
    assert mode(folder.path / "secrets.json") == 0o600
    assert len(set(vars(secrets).values())) == 5
    assert secrets.api_key.startswith(key_text.PREFIX)


def test_lost_secrets_of_an_existing_database_are_not_replaced(folder: Folder) -> None:
    (folder.path / "postgres" / "data").mkdir(parents=True)
    with pytest.raises(StackError, match="Restore it"):
        folder.secrets()


def test_one_stack_at_a_time(folder: Folder) -> None:
    assert folder.holder() is None
    with folder.lock():
        assert folder.holder() == os.getpid()
        with pytest.raises(StackError, match="already runs"), folder.lock():
            pass
    assert folder.holder() is None
    with folder.lock():
        pass


def test_a_running_stack_is_announced_privately_and_withdrawn(folder: Folder) -> None:
    running = Running("http://127.0.0.1:1", "key", os.getpid())
    with folder.lock(), folder.announce(running):
        assert folder.running() == running
        assert mode(folder.path / "stack.json") == 0o600
        assert json.loads((folder.path / "stack.json").read_text())["pid"] == os.getpid()
    assert not (folder.path / "stack.json").exists()


def test_what_a_killed_stack_announced_does_not_count(folder: Folder) -> None:
    stale = {"url": "http://127.0.0.1:1", "api_key": "key", "pid": os.getpid()}
    (folder.path / "stack.json").write_text(json.dumps(stale))
    assert folder.running() is None
    assert not stack.stop(folder)


def test_a_second_up_says_so_and_fails(folder: Folder) -> None:
    with folder.lock(), folder.announce(Running("http://127.0.0.1:7", "key", os.getpid())):
        done = subprocess.run(
            [sys.executable, "-m", "cli.main", "up"],
            env=os.environ | {"ODDSMITH_VAR": str(folder.path), "COLUMNS": "500"},
            capture_output=True,
            text=True,
            check=False,
        )
    assert done.returncode == 1
    assert "already runs" in done.stderr
    assert "http://127.0.0.1:7" in done.stderr
    assert "oddsmith down" in done.stderr
