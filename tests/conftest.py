"""Fixtures of real servers."""

import gc
import os
import signal
import subprocess
import sys
from collections.abc import Callable, Iterator
from itertools import count
from pathlib import Path
from typing import Any

import psycopg
import pytest
import redis
from xdist.remote import Producer

from bench.base import demo_model
from cli.stack.parts import ROOT
from cli.stack.postgres import NAME, Postgres
from cli.stack.redis import Redis
from cli.stack.scratch import scratch_postgres, scratch_redis
from services.access import api_keys
from services.platform import database
from services.platform.settings import get_settings
from tests.scheduling import Scheduling, longest_first

TEMPLATE = "migrated"
# What a test that needs `own_database_url` leaves behind: schemas, tables, settings.
CHANGED = """
    SELECT nspname FROM pg_namespace WHERE nspname !~ '^pg_|^information_schema$|^public$'
    UNION ALL SELECT tablename FROM pg_tables
    WHERE schemaname = 'public' AND tablename <> ALL (%(tables)s)
    UNION ALL SELECT array_to_string(setconfig, ',') FROM pg_db_role_setting
    JOIN pg_database ON pg_database.oid = setdatabase WHERE datname = current_database()
"""
_numbers = count()


def pytest_xdist_make_scheduler(config: pytest.Config, log: Producer) -> Scheduling | None:
    # Use another `--dist` to distribute the tests of one file.
    return Scheduling(config, log) if config.getoption("dist") == "load" else None


@pytest.hookimpl(trylast=True)  # after deselection
def pytest_collection_modifyitems(items: list[pytest.Item]) -> None:
    longest_first(items)


# A full garbage collection visits a million objects of the imports (0.3 s), and frees none of them.
gc.disable()


def pytest_collection_finish() -> None:
    gc.freeze()
    gc.set_threshold(20_000)
    gc.enable()


@pytest.fixture
def settings_from(monkeypatch: pytest.MonkeyPatch) -> Iterator[Callable[..., None]]:
    """Set settings for the rest of the test: `settings_from(max_upload_bytes=10)`."""

    def change(**values: Any) -> None:
        for name, value in values.items():
            monkeypatch.setenv(f"ODDSMITH_{name.upper()}", str(value))
        get_settings.cache_clear()

    yield change
    monkeypatch.undo()
    get_settings.cache_clear()


@pytest.fixture
def sigterm() -> Iterator[None]:
    """Restore pytest's SIGTERM handler after the test."""
    before = signal.getsignal(signal.SIGTERM)
    yield
    signal.signal(signal.SIGTERM, before)


def forget_connections() -> None:
    """Drop the product's connections and cached keys, so that this test's settings apply."""
    database.engine.cache_clear()
    database._sessions.cache_clear()
    api_keys._known.clear()


@pytest.fixture(scope="session")
def postgres(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Postgres]:
    """A running Postgres, one per session."""
    with scratch_postgres(tmp_path_factory.mktemp("postgres")) as server:
        yield server


@pytest.fixture(scope="session")
def redis_server(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Redis]:
    """A running Redis, one per session."""
    with scratch_redis(tmp_path_factory.mktemp("redis")) as server:
        yield server


@pytest.fixture
def redis_url(redis_server: Redis) -> str:
    """The URL of an empty Redis database: the next of the 16, flushed."""
    url = redis_server.url.removesuffix("/0") + f"/{next(_numbers) % 16}"
    with redis.Redis.from_url(url) as client:
        client.flushdb()
    return url


@pytest.fixture(scope="session")
def migrated_template(postgres: Postgres) -> str:
    """The name of a database with every migration, used as a template."""
    create_database(postgres, TEMPLATE)
    env = os.environ | {"ODDSMITH_DATABASE_URL": postgres.sqlalchemy_url(TEMPLATE)}
    command = [sys.executable, "-m", "alembic", "upgrade", "head"]
    done = subprocess.run(command, cwd=ROOT, env=env, capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stderr
    return TEMPLATE


@pytest.fixture(scope="session")
def empty_database(postgres: Postgres, migrated_template: str) -> Callable[[str], str]:
    """Give the SQLAlchemy URL of an empty migrated database: `empty_database("old")`.

    A name's second database is the first one, emptied: that takes 8 ms, a new one 47.
    """
    made: set[str] = set()
    # Not those of the records: a release before this one does not know all tables of the schema.
    tables = tables_of(postgres, migrated_template)

    def give(name: str) -> str:
        if name in made:
            delete_all_rows(postgres, name, tables)
        else:
            create_database(postgres, name, template=migrated_template)
            made.add(name)
        return postgres.sqlalchemy_url(name)

    return give


@pytest.fixture
def database_url(empty_database: Callable[[str], str]) -> str:
    """The SQLAlchemy URL of a migrated database that is empty when the test starts."""
    return empty_database("test")


@pytest.fixture
def own_database_url(postgres: Postgres, migrated_template: str) -> Iterator[str]:
    """The URL of a new migrated database, for tests that change its schema or measure its size."""
    name = f"own_{next(_numbers)}"
    create_database(postgres, name, template=migrated_template)
    yield postgres.sqlalchemy_url(name)
    administer(postgres, f"DROP DATABASE {name} WITH (FORCE)")


@pytest.fixture(scope="session")
def smollm2() -> Path:
    """The demo's base model, unpacked once per checkout."""
    return demo_model()


def create_database(postgres: Postgres, name: str, template: str = "template1") -> None:
    # FILE_COPY is the faster strategy for a database this small with fsync off.
    copying = f"TEMPLATE {template} STRATEGY FILE_COPY"
    administer(postgres, f"CREATE DATABASE {name} OWNER {NAME} {copying}")


def tables_of(postgres: Postgres, name: str) -> list[str]:
    """The tables of a database."""
    with psycopg.connect(postgres.admin_url(name)) as connection:
        found = connection.execute("SELECT tablename FROM pg_tables WHERE schemaname = 'public'")
        return [table for (table,) in found]


def delete_all_rows(postgres: Postgres, name: str, tables: list[str]) -> None:
    """Empty a database that has these tables.

    Connections that a test left open are closed: they may hold locks.
    """
    with psycopg.connect(postgres.admin_url(name), autocommit=True) as connection:
        connection.execute(
            "SELECT pg_terminate_backend(pid) FROM pg_stat_activity"
            " WHERE datname = current_database() AND pid <> pg_backend_pid()"
        )
        found = connection.execute(CHANGED, {"tables": tables}).fetchall()
        assert not found, f"The test before must use own_database_url: it left {found}"
        # As a replica, Postgres fires no trigger: neither foreign keys nor the guards of ours.
        connection.execute("SET session_replication_role = replica")
        deletions = [f"DELETE FROM {table}" for table in tables if table != "alembic_version"]
        connection.execute("; ".join(deletions).encode())


def administer(postgres: Postgres, statement: str) -> None:
    with psycopg.connect(postgres.admin_url(), autocommit=True) as connection:
        connection.execute(statement.encode())
