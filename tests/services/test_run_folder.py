"""A run folder and a database are joined at first use, and refuse others afterwards."""

import subprocess
import sys
import threading
from pathlib import Path

import pytest

from cli.stack.parts import ROOT
from services.platform import run_folder
from services.platform.database import transaction
from services.platform.errors import Conflict, Unavailable

MARKED = run_folder.MARK


def join() -> None:
    with transaction() as session:
        run_folder.join(session)


@pytest.fixture
def runs(product, settings_from, tmp_path):
    """Make this process use a folder of this name as its run folder."""

    def use(name: str) -> Path:
        folder = tmp_path / name
        settings_from(runs=folder)
        return folder

    return use


def test_joined_once_they_find_each_other_again(runs):
    ours = runs("ours")
    join()
    mark = (ours / MARKED).read_text()
    join()
    assert (ours / MARKED).read_text() == mark


def test_another_stack_s_folder_is_refused_and_left_as_it_was(runs):
    ours = runs("ours")
    join()
    theirs = runs("theirs")
    with pytest.raises(Conflict, match=rf"{theirs} bears no mark.*ODDSMITH_RUNS"):
        join()
    assert not theirs.exists()
    theirs.mkdir()
    (theirs / MARKED).write_text("another's\n")
    with pytest.raises(Conflict, match="bears the mark another's"):
        join()
    # The fix that the error message names.
    (theirs / MARKED).write_text((ours / MARKED).read_text())
    join()


def test_a_folder_that_outlived_its_database_joins_the_next(runs):
    folder = runs("old")
    folder.mkdir()
    (folder / MARKED).write_text("from before\n")
    join()
    assert (folder / MARKED).read_text() == "from before\n"
    runs("new")
    with pytest.raises(Conflict, match="this database's bears from before"):
        join()


def test_a_folder_that_can_t_be_written_is_waited_for(runs, tmp_path):
    runs("blocked/runs")
    (tmp_path / "blocked").write_text("a file where a folder should be")
    with pytest.raises(Unavailable, match="can't be"):
        join()
    (tmp_path / "blocked").unlink()
    join()


def test_whoever_joins_at_the_same_moment_joins_the_same(runs):
    runs("ours")
    refused: list[Exception] = []

    def try_it() -> None:
        try:
            join()
        except Conflict as conflict:
            refused.append(conflict)

    threads = [threading.Thread(target=try_it) for _ in range(8)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert refused == []


@pytest.mark.slow
@pytest.mark.parametrize(
    "module",
    [
        ("services.platform.run_folder",),
        ("celery", "-A", "workers.app", "worker", "-Q", "train"),
    ],
)
def test_a_process_that_sees_another_folder_ends_with_the_sentence(runs, module):
    runs("ours")
    join()
    theirs = runs("theirs")
    command = [sys.executable, "-m", *module]
    done = subprocess.run(
        command, cwd=ROOT, capture_output=True, text=True, timeout=60, check=False
    )
    assert done.returncode == 1
    assert f"The run folder {theirs} bears no mark" in done.stderr
    assert "Traceback" not in done.stderr
