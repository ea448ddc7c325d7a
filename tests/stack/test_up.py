"""`oddsmith up` with everything real: it answers, survives its own death, and leaves nothing."""

import json
import os
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import httpx
import psutil
import pytest

from cli.stack.folder import Folder, Running
from cli.stack.process import has_ended, wait_until

pytestmark = [pytest.mark.stack, pytest.mark.slow]


def oddsmith(folder: Path, *arguments: str) -> subprocess.CompletedProcess[str]:
    return subprocess.run(
        [sys.executable, "-m", "cli.main", *arguments],
        env=os.environ | {"ODDSMITH_VAR": str(folder)},
        capture_output=True,
        text=True,
        check=False,
    )


def up(folder: Path) -> tuple[Running, list[psutil.Process]]:
    done = oddsmith(folder, "up", "--detach")
    assert done.returncode == 0, done.stdout + done.stderr
    running = Running(**json.loads((folder / "stack.json").read_text()))
    supervisor = psutil.Process(running.pid)
    return running, [supervisor, *supervisor.children(recursive=True)]


def names_of_keys(running: Running) -> list[str]:
    headers = {"Authorization": f"Bearer {running.api_key}"}
    answer = httpx.get(f"{running.url}/v1/api_keys", headers=headers, trust_env=False)
    assert answer.status_code == 200, answer.text
    return [key["name"] for key in answer.json()["data"]]


def all_ended(processes: list[psutil.Process]) -> bool:
    return all(has_ended(process) for process in processes)


@pytest.fixture
def folder(tmp_path: Path) -> Iterator[Path]:
    yield tmp_path / "var"
    if (pid := Folder(tmp_path / "var").holder()) is not None:
        psutil.Process(pid).kill()


def test_up_killed_up_again_and_down(folder: Path) -> None:
    first, processes = up(folder)
    assert names_of_keys(first) == ["first key"]
    assert (folder / "stack.json").stat().st_mode & 0o777 == 0o600

    processes[0].kill()
    assert wait_until(lambda: all_ended(processes), timeout_s=10)

    second, processes = up(folder)
    assert second.api_key == first.api_key
    assert names_of_keys(second) == ["first key"]  # found again, not made again
    assert first.api_key not in "".join(log.read_text() for log in (folder / "log").iterdir())

    assert oddsmith(folder, "down").returncode == 0
    assert all_ended(processes)
    assert not (folder / "stack.json").exists()
