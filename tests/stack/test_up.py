"""`oddsmith up` with real parts: it answers, restarts after a kill, and leaves nothing."""

import json
import mmap
import os
import shutil
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path
from tempfile import mkdtemp

import httpx
import psutil
import pytest

from cli.stack.folder import Folder, Running
from cli.stack.process import has_ended, wait_until
from cli.stack.runtime import Runtime, remove_unused

pytestmark = [pytest.mark.stack, pytest.mark.slow]

SHARED_MEMORY = Path("/dev/shm")
# Makes the keeper leave what a killed engine leaves: shared memory, a socket, a folder.
UNTIDY = """
import mmap, os, socket, sys, tempfile, uuid
if sys.orig_argv[-1] == "workers.keeper":
    name = f"oddsmith-test-{uuid.uuid4().hex}"
    kept = [open(f"/dev/shm/{name}", "wb+"), socket.socket(socket.AF_UNIX)]
    kept[0].truncate(4096)
    kept.append(mmap.mmap(kept[0].fileno(), 4096))
    kept[1].bind(os.path.join(tempfile.gettempdir(), uuid.uuid4().hex))
    kept[1].listen()
    tempfile.mkdtemp()
    with open(os.path.join(os.environ["ODDSMITH_VAR"], "left"), "a") as said:
        said.write(name + "\\n")
    sys.untidy = kept
"""


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


@pytest.fixture
def temporary(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[Path]:
    """The folder for temporary files, with a short path, for stacks with an untidy keeper."""
    (tmp_path / "sitecustomize.py").write_text(UNTIDY)
    monkeypatch.setenv("PYTHONPATH", str(tmp_path))
    folder = Path(mkdtemp(dir="/tmp"))
    monkeypatch.setenv("TMPDIR", str(folder))
    yield folder
    shutil.rmtree(folder)


def left_in_memory(folder: Path) -> list[Path]:
    names = (folder / "left").read_text().split()
    return [SHARED_MEMORY / name for name in names if (SHARED_MEMORY / name).exists()]


def noted(folder: Path) -> bool:
    """Whether the stack has recorded the shared memory of the current keeper."""
    note = folder / "runtime.json"
    name = (folder / "left").read_text().split()[-1]
    return note.exists() and name in note.read_text()


def sockets_below(folder: Path) -> list[str]:
    lines = Path("/proc/net/unix").read_text().splitlines()
    return [line for line in lines if str(folder) in line]


def test_up_killed_up_again_and_down(folder: Path, temporary: Path) -> None:
    first, processes = up(folder)
    assert names_of_keys(first) == ["first key"]
    assert (folder / "stack.json").stat().st_mode & 0o777 == 0o600
    assert left_in_memory(folder)
    assert sockets_below(temporary)
    wait_until(lambda: noted(folder), timeout_s=5)

    processes[0].kill()
    assert wait_until(lambda: all_ended(processes), timeout_s=10)

    second, processes = up(folder)
    assert second.api_key == first.api_key
    assert names_of_keys(second) == ["first key"]  # the same key, not a second one
    assert first.api_key not in "".join(log.read_text() for log in (folder / "log").iterdir())
    # The killed stack's leftovers are gone, and what this one uses is there.
    assert len(left_in_memory(folder)) == 1
    assert [path.stat().st_mode & 0o777 for path in temporary.iterdir()] == [0o700]
    wait_until(lambda: noted(folder), timeout_s=5)

    assert oddsmith(folder, "down").returncode == 0
    assert all_ended(processes)
    assert not (folder / "stack.json").exists()
    assert not left_in_memory(folder)
    assert not list(temporary.iterdir())
    assert not sockets_below(temporary)


def test_down_removes_what_a_killed_stack_left(folder: Path, temporary: Path) -> None:
    Folder(folder).make()
    runtime = Runtime(Folder(folder).runtime_note)
    # As a killed stack leaves it: the end of the block was never reached.
    held = runtime.hold()
    left = held.__enter__()
    (left / "file").touch()
    assert oddsmith(folder, "down").returncode == 0
    assert not left.exists()
    assert not Folder(folder).runtime_note.exists()


def test_what_the_note_says_of_others_is_not_removed(folder: Path, temporary: Path) -> None:
    Folder(folder).make()
    others, segment = temporary / "others", SHARED_MEMORY / f"oddsmith-test-{os.getpid()}"
    others.mkdir()
    with segment.open("wb+") as file:
        file.truncate(4096)
        inode = segment.stat().st_ino
        note = {"temporary": str(others), "shared_memory": [[segment.name, inode + 1]]}
        Folder(folder).runtime_note.write_text(json.dumps(note))
        Runtime(Folder(folder).runtime_note).clear()
        assert others.exists()
        assert segment.exists()  # a new segment with the same name
        with mmap.mmap(file.fileno(), 4096):
            remove_unused({(segment.name, inode)})
            assert segment.exists()  # in use
        remove_unused({(segment.name, inode)})
        assert not segment.exists()
