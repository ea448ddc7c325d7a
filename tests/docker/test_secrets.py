"""Secrets as files: made once, read by the settings, not passed to trainings."""

import os
import subprocess
import warnings
from pathlib import Path

import psycopg
import pytest

from cli.stack.binaries import installed
from cli.stack.parts import ROOT
from cli.stack.scratch import scratch_postgres
from services.platform.settings import Settings, get_settings
from services.processes.verbs import environment
from tests.docker.compose import UID, config

MAKE = ROOT / "docker" / "make-secrets"


def make(folder: Path) -> subprocess.CompletedProcess[str]:
    return subprocess.run([MAKE, folder], capture_output=True, text=True, check=False)


@pytest.fixture
def made(tmp_path: Path) -> Path:
    if os.geteuid() not in (0, UID):
        pytest.skip("only root can give files to the containers' user")
    folder = tmp_path / "secrets"
    done = make(folder)
    assert done.returncode == 0, done.stderr
    return folder


@pytest.fixture
def read(monkeypatch):
    """Read the settings from a folder of secrets only."""

    def settings(folder: Path) -> Settings:
        for name in list(os.environ):
            if name.startswith("ODDSMITH_"):
                monkeypatch.delenv(name)
        monkeypatch.setenv("ODDSMITH_SECRETS", str(folder))
        get_settings.cache_clear()
        with warnings.catch_warnings():
            warnings.simplefilter("error")
            return get_settings()

    yield settings
    monkeypatch.undo()
    get_settings.cache_clear()


def test_they_are_what_compose_asks_for_and_the_containers_alone_can_read_them(made):
    asked = {Path(secret["file"]).name for secret in config()["secrets"].values()}
    assert {file.name for file in made.iterdir()} == asked
    for file in made.iterdir():
        assert file.stat().st_mode & 0o777 == 0o600
        assert file.stat().st_uid == UID


def test_they_are_never_overwritten_and_never_shown(made):
    before = {file.name: file.read_text() for file in made.iterdir()}
    again = make(made)
    assert again.returncode != 0
    assert "not empty" in again.stderr
    assert {file.name: file.read_text() for file in made.iterdir()} == before
    shown = make(made.with_name("more")).stdout
    for file in made.with_name("more").iterdir():
        assert not file.read_text() or file.read_text() not in shown


def test_settings_read_them(made, read):
    settings = read(made)
    assert settings.database_url == (made / "oddsmith_database_url").read_text()
    assert settings.redis_url == (made / "oddsmith_redis_url").read_text()
    assert settings.engine_secret == (made / "oddsmith_engine_secret").read_text()
    assert len(settings.engine_secret) == 64
    password = (made / "redis_conf").read_text().split()[1]
    assert settings.redis_url == f"redis://:{password}@redis:6379/0"


def test_no_folder_is_no_warning(tmp_path, read):
    assert read(tmp_path / "missing").database_url == ""


def test_the_environment_wins(tmp_path, read, monkeypatch):
    (tmp_path / "oddsmith_database_url").write_text("of the file\n")
    assert read(tmp_path).database_url == "of the file"
    monkeypatch.setenv("ODDSMITH_DATABASE_URL", "of the environment")
    get_settings.cache_clear()
    assert get_settings().database_url == "of the environment"


def test_processes_without_credentials_are_not_told_where_they_lie(monkeypatch):
    monkeypatch.setenv("ODDSMITH_SECRETS", "/run/secrets")
    for service in config()["services"].values():
        for name, value in (service.get("environment") or {}).items():
            monkeypatch.setenv(name, value or "x")
    assert "secrets" not in str(environment("mark"))


def test_networks_and_memory_are_set_for_trainings_too_and_nothing_else_is(monkeypatch):
    passed = {
        "NCCL_SOCKET_IFNAME": "eth1",
        "NCCL_IB_DISABLE": "1",
        "GLOO_SOCKET_IFNAME": "eth1",
        "PYTORCH_ALLOC_CONF": "expandable_segments:True",
        "PYTORCH_CUDA_ALLOC_CONF": "expandable_segments:True",
    }
    kept = ("AWS_SECRET_ACCESS_KEY", "HF_TOKEN", "PGPASSWORD", "ODDSMITH_REDIS_URL", "MY_NCCL_KEY")
    for name, value in passed.items() | dict.fromkeys(kept, "secret").items():
        monkeypatch.setenv(name, value)
    found = environment("mark")
    assert passed.items() <= found.items()
    assert not found.keys() & set(kept)


@pytest.mark.parametrize("host", ["0.0.0.0", "::", ""])
def test_an_engine_has_one_address(monkeypatch, host):
    monkeypatch.setenv("ODDSMITH_ENGINE_HOST", host)
    with pytest.raises(ValueError, match="private network"):
        Settings()


@pytest.mark.slow
def test_postgres_s_first_start_makes_a_role_that_is_no_superuser(tmp_path):
    """docker/make-role.sh, as Postgres's image runs it, on a server of the same version."""
    (tmp_path / "oddsmith_database_url").write_text("postgresql+psycopg://oddsmith:p'w@postgres/x")
    with scratch_postgres(tmp_path / "server") as server:
        with psycopg.connect(server.admin_url(), autocommit=True) as connection:
            connection.execute("DROP DATABASE oddsmith")
            connection.execute("DROP ROLE oddsmith")
        env = {
            "PATH": f"{installed() / 'bin'}:{os.environ['PATH']}",
            "ODDSMITH_SECRETS": str(tmp_path),
            "POSTGRES_USER": "postgres",
            "PGPASSWORD": server.admin_password,
            "PGHOST": "127.0.0.1",
            "PGPORT": str(server.port),
        }
        script = ROOT / "docker" / "make-role.sh"
        done = subprocess.run([script], env=env, capture_output=True, text=True, check=False)
        assert done.returncode == 0, done.stderr
        url = f"postgresql://oddsmith:p'w@127.0.0.1:{server.port}/oddsmith"
        with psycopg.connect(url) as connection:
            rights = "SELECT rolsuper, rolcreatedb FROM pg_roles WHERE rolname = current_user"
            assert connection.execute(rights).fetchone() == (False, False)
