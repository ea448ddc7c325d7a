"""Migrations only extend: the previous release works on the schema of this one."""

import os
import shutil
import subprocess
import sys
import tarfile
from io import BytesIO
from pathlib import Path

import pytest

from cli.stack.parts import ROOT

VERSIONS = Path("migrations/versions")
CONFTEST = Path("tests/conftest.py")
# Tests that read and write rows as API and workers do.
TESTS = [f"tests/services/test_{noun}.py" for noun in ("claims", "jobs", "metrics", "queue")]


def git(*arguments: str) -> bytes:
    command = ["git", "-C", str(ROOT), *arguments]
    return subprocess.run(command, capture_output=True, check=True).stdout


def before_the_newest_migration() -> str:
    """The last commit without the newest migration: the newest code with the previous schema."""
    newest = max(path.name for path in (ROOT / VERSIONS).glob("0*.py"))
    added = git("log", "--diff-filter=A", "--format=%H", "--", str(VERSIONS / newest))
    return f"{added.decode().split()[-1]}^" if added else "HEAD"


@pytest.fixture
def release_before(tmp_path: Path) -> Path:
    """The code of the previous release, with the current migrations and way to empty a database."""
    try:
        packed = git("archive", before_the_newest_migration())
    except (OSError, subprocess.CalledProcessError) as error:
        pytest.skip(f"the history of this checkout does not reach back so far: {error}")
    with tarfile.open(fileobj=BytesIO(packed)) as archive:
        archive.extractall(tmp_path)
    assert not list((tmp_path / VERSIONS).glob(f"{max_number()}*"))
    shutil.rmtree(tmp_path / VERSIONS)
    shutil.copytree(ROOT / VERSIONS, tmp_path / VERSIONS)
    shutil.copy(ROOT / CONFTEST, tmp_path / CONFTEST)
    return tmp_path


def max_number() -> str:
    return max(path.name for path in (ROOT / VERSIONS).glob("0*.py")).partition("_")[0]


@pytest.mark.slow
def test_the_release_before_works_on_the_new_schema(release_before: Path):
    command = [sys.executable, "-m", "pytest", "-q", "-p", "no:cacheprovider", *TESTS]
    env = os.environ | {"PYTHONPATH": str(release_before)}
    done = subprocess.run(
        command,
        cwd=release_before,
        env=env,
        capture_output=True,
        text=True,
        timeout=250,
        check=False,
    )
    assert done.returncode == 0, done.stdout[-5000:] + done.stderr[-2000:]
